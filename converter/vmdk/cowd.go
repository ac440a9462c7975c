package vmdk

import (
	"encoding/binary"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// cowdRoot is the flag of a sparse file of ESX that has no parent (COWDISK_ROOT,
// "ESX Server Sparse Extents").
const cowdRoot = 1 << 0

// openCowd reads a sparse file of ESX. It has the same tables as a hosted one,
// another header, and no descriptor.
func openCowd(f container.File, source extent.Digest) (*container.Disk, error) {
	p, err := f.Bytes("header", 0, sectorSize)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	version, flags := le.Uint32(p[4:]), le.Uint32(p[8:])
	if version != 1 {
		return nil, fmt.Errorf("%w: an ESX sparse file of version %d, want 1", container.ErrUnsupported, version)
	}
	if flags&cowdRoot == 0 {
		return nil, fmt.Errorf("%w: it holds the differences to a parent disk; %s", container.ErrUnsupported, howToJoin)
	}
	h := header{
		version:      versionSparse,
		capacity:     uint64(le.Uint32(p[12:])),
		grain:        uint64(le.Uint32(p[16:])),
		directoryAt:  uint64(le.Uint32(p[20:])),
		tableEntries: cowdEntries,
	}
	if err := h.checkSizes(); err != nil {
		return nil, err
	}
	return openSparse(f, h, source)
}
