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
	// Version is 3, or 2 for QEMU before 1.1; 0 means 3.
	Version int
	// Parent asks for a file that holds only the clusters which differ from the
	// parent, and names it as its backing file: by its digest, which no other
	// program opens as a file. Nil is none. The parent was compared with the disk;
	// it may be shorter or longer.
	Parent *container.Base
}

// Write returns the qcow2 file of a disk: header, refcounts, L1 and L2
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
	return l.write(disk)
}

// write returns the file of a layout.
func (l *layout) write(disk *extent.Map) (*extent.Map, error) {
	var b extent.Builder
	b.Inline(l.header())
	b.ZeroTo(l.clusterSize)
	l.writeRefcounts(&b)
	l.writeL1(&b)
	l.writeL2(&b)
	if l.packed != nil {
		b.Source(l.packed.Blob, 0, l.packed.Size)
		b.ZeroTo(l.dataAt() << l.clusterBits)
	}
	container.AppendGrains(&b, disk, l.plain, l.clusterSize)
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
	version     uint32
	compression Compression
	clusterBits int
	clusterSize int64           // bytes
	virtualSize int64           // bytes, a multiple of sectorSize
	parent      *container.Base // nil where the file stands alone
	// packed is what is compressed of the disk; nil where nothing is.
	packed *container.Packed

	refcountTable  int64
	refcountBlocks int64
	l1             int64
	l1Entries      int64   // entries
	l2             []int64 // for each L2 table the file has, the index of its L1 entry, ascending
	packedClusters int64
	plain          []container.Run // clusters that are not compressed
	zero           []container.Run // clusters that are zero and not the parent's, from version 3
	dataClusters   int64           // of plain
}

// plan lays out the file of a disk that is not compressed.
func plan(disk *extent.Map, opts Options) (*layout, error) {
	l, err := newLayout(disk, opts)
	if err != nil {
		return nil, err
	}
	if l.parent == nil {
		l.plain = container.Runs(disk, l.clusterSize)
		return l, l.place(l.plain)
	}
	differs := l.parent.Runs(l.clusterSize)
	l.plain = differs
	if l.version >= version3 {
		l.plain, l.zero = container.SplitZero(disk, differs, l.clusterSize)
	}
	return l, l.place(differs)
}

// newLayout checks options against a disk.
func newLayout(disk *extent.Map, opts Options) (*layout, error) {
	size := int64(opts.ClusterSize)
	if size == 0 {
		size = DefaultClusterSize
	}
	clusterBits := bits.TrailingZeros64(uint64(size))
	if size != 1<<clusterBits || clusterBits < minClusterBits || clusterBits > maxClusterBits {
		return nil, fmt.Errorf("cluster size %d: want a power of two from %d to %d",
			size, 1<<minClusterBits, 1<<maxClusterBits)
	}
	version := opts.Version
	if version == 0 {
		version = version3
	}
	if version != version2 && version != version3 {
		return nil, fmt.Errorf("version %d: want %d or %d", version, version2, version3)
	}
	if disk.Size() > math.MaxInt64-sectorSize {
		return nil, fmt.Errorf("%w: the size leaves no room to pad it to sectors", ErrTooLarge)
	}
	return &layout{
		version:     uint32(version),
		clusterBits: clusterBits,
		clusterSize: size,
		virtualSize: container.AlignUp(disk.Size(), sectorSize),
		parent:      opts.Parent,
	}, nil
}

// place finds where everything stands: data are the clusters of the disk that
// the file has, compressed or not.
func (l *layout) place(data []container.Run) error {
	l.dataClusters = container.Grains(l.plain)
	if err := l.sizeL1(); err != nil {
		return err
	}
	l.findTables(data)
	return l.sizeRefcounts()
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

// findTables lists the L2 tables that map clusters of the disk.
func (l *layout) findTables(data []container.Run) {
	for _, run := range data {
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
func (l *layout) packedAt() int64         { return l.l2At() + int64(len(l.l2)) }
func (l *layout) dataAt() int64           { return l.packedAt() + l.packedClusters }
func (l *layout) clusters() int64         { return l.dataAt() + l.dataClusters }
