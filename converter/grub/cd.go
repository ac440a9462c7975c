package grub

import (
	"bytes"
	"fmt"
)

// CDBlockSize is the size of a block of a CD, in bytes. cdboot.img takes one.
const CDBlockSize = 2048

// CDImage returns the El Torito boot image made from the kit, as
// `grub-mkimage -O i386-pc-eltorito` does: cdboot.img, which loads the rest, and
// a core image. block is where on the volume it will start, in blocks of
// [CDBlockSize]; opts.LBA is set from it.
//
// cdboot.img finds the rest by its boot information table, bytes 8 to 63, which
// is for the maker of the volume to fill in. The core image, from [CDCoreLBA] on,
// is whole by itself, so that the boot sector of a disk which the volume is
// written to can load it too.
func CDImage(kit Kit, opts Options, block int64) ([]byte, error) {
	loader, err := kit.read(fileCDBoot, CDBlockSize)
	if err != nil {
		return nil, fmt.Errorf("make the GRUB boot image of a CD: %w", err)
	}
	if len(loader) != CDBlockSize {
		return nil, fmt.Errorf("make the GRUB boot image of a CD: %s is %d bytes long, expected %d", fileCDBoot, len(loader), CDBlockSize)
	}
	opts.LBA = CDCoreLBA(block)
	core, err := CoreImage(kit, opts)
	if err != nil {
		return nil, err
	}
	return append(bytes.Clone(loader), core...), nil
}

// CDCoreLBA returns the sector at which the core image of a boot image starts
// that stands at a block.
func CDCoreLBA(block int64) uint64 { return uint64(block+1) * (CDBlockSize / SectorSize) }
