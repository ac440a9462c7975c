package qed

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/bits"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// Open returns the disk in a QED file as an extent map over the file's own
// bytes: r reads the file, size is its length in bytes, and source is the digest
// by which the map names it. Clusters that are absent or marked as zeros become
// zero extents.
//
// Every offset is checked to lie within the file, and no place may be used
// twice. Files with a backing file, and those that were not closed, are refused
// with container.ErrUnsupported, all else that is wrong with container.ErrFormat.
//
// Memory is bounded by what the file really holds: some 100 bytes for each run
// of clusters and each table.
func Open(r io.ReaderAt, size int64, source extent.Digest) (*container.Disk, error) {
	disk, err := open(container.File{Reader: r, Size: size}, source)
	if err != nil {
		return nil, fmt.Errorf("open QED file of %d bytes: %w", size, err)
	}
	return disk, nil
}

func open(f container.File, source extent.Digest) (*container.Disk, error) {
	p, err := f.Bytes("header", 0, headerSize)
	if err != nil {
		return nil, err
	}
	if got := binary.LittleEndian.Uint32(p); got != magic {
		return nil, fmt.Errorf("%w: it starts with %#08x, want %#08x", container.ErrFormat, got, magic)
	}
	h := decodeHeader(p)
	if err := h.check(); err != nil {
		return nil, err
	}
	l := container.Layout{File: f, Size: int64(h.size), Grain: int64(h.clusterSize)}
	if err := l.Use("header", 0, int64(h.headerSize)*l.Grain); err != nil {
		return nil, err
	}
	tables := container.TwoLevels{Order: binary.LittleEndian, Entries: h.tableEntries(), Grain: l.Grain}
	err = tables.Read(&l, h.l1, l.Grain, func(number int64, entry uint64) error {
		if entry == zeroCluster {
			return nil
		}
		if entry%uint64(l.Grain) != 0 {
			return fmt.Errorf("%w: a data cluster at %d, want a multiple of the cluster size, %d", container.ErrFormat, entry, l.Grain)
		}
		return l.Add(number, entry)
	})
	if err != nil {
		return nil, err
	}
	return l.Disk(source, nil)
}

// tableEntries returns how many entries a table has.
func (h header) tableEntries() int64 {
	return int64(h.tableSize) * int64(h.clusterSize) / entrySize
}

// check checks the fields that everything else is computed from.
func (h header) check() error {
	switch {
	case bits.OnesCount32(h.clusterSize) != 1 || h.clusterSize < minCluster || h.clusterSize > maxCluster:
		return fmt.Errorf("%w: clusters of %d bytes, want a power of two from %d to %d", container.ErrFormat, h.clusterSize, minCluster, maxCluster)
	case bits.OnesCount32(h.tableSize) != 1 || h.tableSize > maxTable:
		return fmt.Errorf("%w: tables of %d clusters, want a power of two up to %d", container.ErrFormat, h.tableSize, maxTable)
	case h.headerSize == 0:
		return fmt.Errorf("%w: a header of no clusters", container.ErrFormat)
	case h.size%sectorSize != 0 || h.size > h.maxSize():
		return fmt.Errorf("%w: a disk of %d bytes, want a multiple of %d up to %d", container.ErrFormat, h.size, sectorSize, h.maxSize())
	}
	return h.checkFeatures()
}

// maxSize returns the largest disk that the tables map.
func (h header) maxSize() uint64 {
	n := uint64(h.tableEntries())
	if high, low := bits.Mul64(n*n, uint64(h.clusterSize)); high == 0 && low < math.MaxInt64/2 {
		return low
	}
	return math.MaxInt64 / 2
}

func (h header) checkFeatures() error {
	switch {
	case h.features&featureBackingFile != 0:
		return fmt.Errorf("%w: it has a backing file; make an image that stands alone first: qemu-img convert -O qcow2 IN OUT", container.ErrUnsupported)
	case h.features&featureNeedCheck != 0:
		return fmt.Errorf("%w: it was not closed and its tables may be wrong; repair it first: qemu-img check -f qed -r all FILE", container.ErrUnsupported)
	}
	if unknown := h.features &^ featureNoProbe; unknown != 0 {
		return fmt.Errorf("%w: unknown features %#x", container.ErrUnsupported, unknown)
	}
	return nil
}
