package vmdk

import (
	"fmt"

	"github.com/cloudlets/cloudlets/extent"
)

// Flat returns the descriptor of a monolithicFlat disk, whose content is a raw
// file beside it: all of it, padded to sectors, is flat. name is that file's. The
// descriptor refers to it and must stand in the same folder.
func Flat(name string, disk *extent.Map, opts Options) (text []byte, flat *extent.Map, err error) {
	text, flat, err = writeFlat(name, disk, opts)
	if err != nil {
		return nil, nil, fmt.Errorf("write flat VMDK of a disk of %d bytes: %w", disk.Size(), err)
	}
	return text, flat, nil
}

func writeFlat(name string, disk *extent.Map, opts Options) ([]byte, *extent.Map, error) {
	if name == "" {
		return nil, nil, fmt.Errorf("the raw file has no name")
	}
	opts.Name = name
	opts, err := opts.withDefaults(disk)
	if err != nil {
		return nil, nil, err
	}
	// Flat files have no entries of 32 bits, but VMware's products take no larger
	// ones either.
	n, err := sectors(disk)
	if err != nil {
		return nil, nil, err
	}
	var b extent.Builder
	b.Map(disk)
	b.ZeroTo(n * sectorSize)
	flat, err := b.Build()
	return descriptor(monolithicFlat, n, fmt.Sprintf("FLAT %q 0", opts.Name), opts.Identity), flat, err
}
