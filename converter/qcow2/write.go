package qcow2

import (
	"errors"
	"fmt"
	"math"
	"math/bits"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// DefaultClusterSize is the cluster size of QEMU's own images, in bytes.
const DefaultClusterSize = 64 << 10

// ErrTooLarge is wrapped when a disk needs larger tables than QEMU opens. Larger
// clusters may help.
var ErrTooLarge = errors.New("too large for qcow2 with this cluster size")

// Options say how a qcow2 file is laid out. The zero Options are the defaults.
type Options struct {
	// ClusterSize is the unit of allocation in bytes: a power of two from 512
	// to 2 MiB. 0 means DefaultClusterSize.
	ClusterSize int
}

// Write returns the qcow2 version 3 file of a disk: header, refcounts, L1 and L2
// tables, then the data clusters in the order of the disk, so that reading the
// file once reads the disk once. Clusters that are wholly zero extents are left
// unallocated. A disk whose size is not a multiple of 512 bytes is padded to one
// with zeros, because guests and QEMU count in sectors.
//
// The same disk and options give the same file. The map carries about 8 bytes
// for every data cluster and 2 for every cluster of the file.
func Write(disk *extent.Map, opts Options) (*extent.Map, error) {
	l, err := plan(disk, opts)
	if err != nil {
		return nil, fmt.Errorf("write qcow2 of a disk of %d bytes: %w", disk.Size(), err)
	}
	var b extent.Builder
	b.Inline(l.header())
	b.ZeroTo(l.clusterSize)
	l.writeRefcounts(&b)
	l.writeL1(&b)
	l.writeL2(&b)
	container.AppendGrains(&b, disk, l.data, l.clusterSize)
	file, err := b.Build()
	if err != nil {
		return nil, fmt.Errorf("write qcow2 of a disk of %d bytes: %w", disk.Size(), err)
	}
	return file, nil
}

// layout is where everything in the file stands. Unless they say otherwise its
// numbers count clusters; the parts of the file follow each other in the order
// of the fields.
type layout struct {
	clusterBits int
	clusterSize int64 // bytes
	virtualSize int64 // bytes, a multiple of sectorSize

	refcountTable  int64
	refcountBlocks int64
	l1             int64
	l1Entries      int64   // entries
	l2             []int64 // for each L2 table the file has, the index of its L1 entry, ascending
	data           []container.Run
	dataClusters   int64
}

func plan(disk *extent.Map, opts Options) (*layout, error) {
	size := int64(opts.ClusterSize)
	if size == 0 {
		size = DefaultClusterSize
	}
	clusterBits := bits.TrailingZeros64(uint64(size))
	if size != 1<<clusterBits || clusterBits < minClusterBits || clusterBits > maxClusterBits {
		return nil, fmt.Errorf("cluster size %d: want a power of two from %d to %d",
			size, 1<<minClusterBits, 1<<maxClusterBits)
	}
	if disk.Size() > math.MaxInt64-sectorSize {
		return nil, fmt.Errorf("%w: the size leaves no room to pad it to sectors", ErrTooLarge)
	}
	l := &layout{
		clusterBits: clusterBits,
		clusterSize: size,
		virtualSize: (disk.Size() + sectorSize - 1) / sectorSize * sectorSize,
	}
	if err := l.sizeL1(); err != nil {
		return nil, err
	}
	l.findData(disk)
	if err := l.sizeRefcounts(); err != nil {
		return nil, err
	}
	return l, nil
}

// entriesPerL2 returns how many clusters of the disk one L2 table maps.
func (l *layout) entriesPerL2() int64 { return l.clusterSize / entrySize }

func (l *layout) sizeL1() error {
	// An empty disk has a table too: readers look for one.
	l.l1Entries = max(1, container.DivideUp(l.virtualSize, l.clusterSize*l.entriesPerL2()))
	if need := l.l1Entries * entrySize; need > maxL1Size {
		return fmt.Errorf("%w: it needs an L1 table of %d bytes with clusters of %d bytes, QEMU opens at most %d; choose larger clusters",
			ErrTooLarge, need, l.clusterSize, maxL1Size)
	}
	l.l1 = container.DivideUp(l.l1Entries*entrySize, l.clusterSize)
	return nil
}

// findData lists the clusters of the disk that hold anything but zero extents,
// and the L2 tables that map them.
func (l *layout) findData(disk *extent.Map) {
	l.data = container.Runs(disk, l.clusterSize)
	l.dataClusters = container.Grains(l.data)
	for _, run := range l.data {
		first, last := run.First/l.entriesPerL2(), (run.End()-1)/l.entriesPerL2()
		if n := len(l.l2); n > 0 {
			first = max(first, l.l2[n-1]+1)
		}
		for table := first; table <= last; table++ {
			l.l2 = append(l.l2, table)
		}
	}
}

// sizeRefcounts finds how many refcount blocks count every cluster of the file,
// their own and those of the table that lists them included.
func (l *layout) sizeRefcounts() error {
	blockEntries := l.clusterSize / refcountSize
	for {
		blocks := container.DivideUp(l.clusters(), blockEntries)
		table := container.DivideUp(blocks*entrySize, l.clusterSize)
		if table*l.clusterSize > maxRefcountTableSize || l.clusters() > maxHostOffset>>l.clusterBits {
			return fmt.Errorf("%w: its %d data clusters of %d bytes need a refcount table of %d bytes, QEMU opens at most %d; choose larger clusters",
				ErrTooLarge, l.dataClusters, l.clusterSize, table*l.clusterSize, maxRefcountTableSize)
		}
		if blocks == l.refcountBlocks && table == l.refcountTable {
			return nil
		}
		l.refcountBlocks, l.refcountTable = blocks, table
	}
}

// The parts of the file, as cluster numbers.
func (l *layout) refcountTableAt() int64  { return 1 }
func (l *layout) refcountBlocksAt() int64 { return l.refcountTableAt() + l.refcountTable }
func (l *layout) l1At() int64             { return l.refcountBlocksAt() + l.refcountBlocks }
func (l *layout) l2At() int64             { return l.l1At() + l.l1 }
func (l *layout) dataAt() int64           { return l.l2At() + int64(len(l.l2)) }
func (l *layout) clusters() int64         { return l.dataAt() + l.dataClusters }
