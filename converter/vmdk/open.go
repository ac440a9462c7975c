package vmdk

import (
	"bytes"
	"fmt"
	"io"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// Open returns the disk in a VMDK file as an extent map: r reads the file, size
// is its length in bytes, and source is the digest by which the map names it. It
// reads monolithicSparse and streamOptimized files of versions 1 to 3, and the
// sparse files of ESX. Grains that are absent or marked as zeros become zero
// extents, compressed ones are read through [container.Disk.Units].
//
// Every offset is checked to lie within the file, and no place may be used
// twice. A descriptor that stands alone, a part of a disk in several files, a
// difference to another disk and a file of a type of its own (seSparse, raw
// devices) are refused with container.ErrUnsupported, all else that is wrong with
// container.ErrFormat. No name in a descriptor is ever followed.
//
// Memory is bounded by what the file really holds: some 100 bytes for each run
// of grains, 150 for each compressed one, and at most 4 MiB for the directory.
func Open(r io.ReaderAt, size int64, source extent.Digest) (*container.Disk, error) {
	disk, err := open(container.File{Reader: r, Size: size}, source)
	if err != nil {
		return nil, fmt.Errorf("open VMDK file of %d bytes: %w", size, err)
	}
	return disk, nil
}

func open(f container.File, source extent.Digest) (*container.Disk, error) {
	start, err := f.Bytes("first bytes", 0, min(f.Size, sectorSize))
	if err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(start, []byte(headerMagic)):
		return openHosted(f, source)
	case bytes.HasPrefix(start, []byte(cowdMagic)):
		return openCowd(f, source)
	case isDescriptor(start):
		return nil, refuseDescriptor(f)
	}
	return nil, fmt.Errorf("%w: it starts with %q, want %q, %q or a descriptor", container.ErrFormat,
		start[:min(len(start), len(headerMagic))], headerMagic, cowdMagic)
}

// openHosted reads a file that holds its descriptor and its content.
func openHosted(f container.File, source extent.Digest) (*container.Disk, error) {
	h, err := readHeader(f)
	if err != nil {
		return nil, err
	}
	if h.descriptor == 0 || h.descriptorAt == 0 {
		return nil, fmt.Errorf("%w: it holds no descriptor, so it is one part of a disk; %s", container.ErrUnsupported, howToJoin)
	}
	if err := checkEmbedded(f, h); err != nil {
		return nil, err
	}
	return openSparse(f, h, source)
}

// howToJoin says what to do with a disk that is not all in one file.
const howToJoin = "make one file of the disk first: qemu-img convert -O vmdk DESCRIPTOR.vmdk OUT.vmdk"
