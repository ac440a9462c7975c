package parallels

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// ErrTooLarge is wrapped when a disk needs a larger table than QEMU opens.
var ErrTooLarge = errors.New("too large for Parallels: more than 512 TiB")

// Write returns the file of a disk: header, block allocation table, then the
// clusters with data in the order of the disk, 1 MiB each. Clusters that are
// wholly zero extents are left out. A disk whose size is not a multiple of 512
// bytes is padded to one with zeros.
//
// The same disk gives the same file. The map carries 4 bytes for every cluster
// with data.
func Write(disk *extent.Map) (*extent.Map, error) {
	if disk.Size() > maxDisk {
		return nil, fmt.Errorf("write Parallels disk of %d bytes: %w; choose qcow2", disk.Size(), ErrTooLarge)
	}
	entries := container.DivideUp(disk.Size(), clusterSize)
	dataAt := container.AlignUp(headerSize+entries*entrySize, clusterSize)
	sectors := container.DivideUp(disk.Size(), sectorSize)
	var b extent.Builder
	b.Inline(header{
		magic:     magicClusters,
		version:   version,
		cylinders: uint32(sectors / (heads * cylinderSectors)),
		cluster:   clusterSectors,
		entries:   uint32(entries),
		sectors:   uint64(sectors),
		inUse:     closed,
		dataAt:    uint32(dataAt / sectorSize),
	}.encode())
	runs := container.Runs(disk, clusterSize)
	writeTable(&b, runs, dataAt)
	container.AppendGrains(&b, disk, runs, clusterSize)
	file, err := b.Build()
	if err != nil {
		return nil, fmt.Errorf("write Parallels disk of %d bytes: %w", disk.Size(), err)
	}
	return file, nil
}

// writeTable appends the block allocation table of the clusters of runs, which
// follow each other from an offset on.
func writeTable(b *extent.Builder, runs []container.Run, dataAt int64) {
	w := container.NewTable(b, binary.LittleEndian)
	next := dataAt / clusterSize
	for _, run := range runs {
		w.SkipTo(headerSize + run.First*entrySize)
		for range run.Count {
			w.Uint32(uint32(next))
			next++
		}
	}
	w.Close(dataAt)
}
