package qed

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// ErrTooLarge is wrapped when a disk is larger than the format's tables map.
var ErrTooLarge = errors.New("too large for QED: more than 64 TiB")

// Write returns the QED file of a disk: header, L1 table, L2 tables, then the
// clusters with data in the order of the disk, 64 KiB each. Clusters that are
// wholly zero extents are left out. A disk whose size is not a multiple of 512
// bytes is padded to one with zeros.
//
// The same disk gives the same file. The map carries about 8 bytes for every
// cluster with data.
func Write(disk *extent.Map) (*extent.Map, error) {
	if disk.Size() > maxDisk {
		return nil, fmt.Errorf("write QED of a disk of %d bytes: %w; choose qcow2 or VHDX", disk.Size(), ErrTooLarge)
	}
	h := header{
		clusterSize: clusterSize,
		tableSize:   tableSize,
		headerSize:  1,
		l1:          clusterSize,
		size:        uint64(container.AlignUp(disk.Size(), sectorSize)),
	}
	var b extent.Builder
	b.Inline(h.encode())
	b.ZeroTo(int64(h.l1))
	tables := container.TwoLevels{Order: binary.LittleEndian, Entries: tableEntries, Grain: clusterSize}
	tables.Append(&b, disk, clusterSize+tableBytes)
	file, err := b.Build()
	if err != nil {
		return nil, fmt.Errorf("write QED of a disk of %d bytes: %w", disk.Size(), err)
	}
	return file, nil
}
