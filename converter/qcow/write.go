package qcow

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// ErrTooLarge is wrapped when a disk needs a larger L1 table than QEMU opens.
var ErrTooLarge = errors.New("too large for qcow: more than 512 TiB")

// Write returns the qcow file of a disk: header, L1 table, L2 tables, then the
// clusters with data in the order of the disk, 4 KiB each. Clusters that are
// wholly zero extents are left out. A disk whose size is not a multiple of 512
// bytes is padded to one with zeros.
//
// The same disk gives the same file. The map carries about 8 bytes for every
// cluster with data.
func Write(disk *extent.Map) (*extent.Map, error) {
	if disk.Size() > maxDisk {
		return nil, fmt.Errorf("write qcow of a disk of %d bytes: %w; choose qcow2 with larger clusters", disk.Size(), ErrTooLarge)
	}
	h := header{
		magic:       magic,
		version:     version,
		size:        uint64(container.AlignUp(disk.Size(), sectorSize)),
		clusterBits: clusterBits,
		l2Bits:      l2Bits,
		crypt:       cryptNone,
		l1:          headerSize,
	}
	var b extent.Builder
	b.Inline(h.encode())
	l1Entries := container.DivideUp(disk.Size(), l2Entries*clusterSize)
	end := container.AlignUp(headerSize+l1Entries*entrySize, clusterSize)
	tables := container.TwoLevels{Order: binary.BigEndian, Entries: l2Entries, Grain: clusterSize}
	tables.Append(&b, disk, end)
	file, err := b.Build()
	if err != nil {
		return nil, fmt.Errorf("write qcow of a disk of %d bytes: %w", disk.Size(), err)
	}
	return file, nil
}
