package vmdk

import (
	"fmt"
	"io"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// Part is a file that holds some of a disk.
type Part struct {
	Reader io.ReaderAt
	Size   int64         // bytes
	Source extent.Digest // by which the disk's map names it
}

// OpenParts returns the disk that a descriptor makes of several files
// (monolithicFlat, twoGbMaxExtentFlat, twoGbMaxExtentSparse, vmfs). The files are
// those that the caller gives, one for each extent line in its order, those of
// type ZERO excepted. The names in the lines are for people: no file is opened by
// them. Two lines that are ranges of one file take that file twice.
//
// What is wrong, or a number of files that is not that of the lines, is refused
// as [Open] does.
func OpenParts(text []byte, parts []Part) (*container.Disk, error) {
	disk, err := openParts(text, parts)
	if err != nil {
		return nil, fmt.Errorf("open VMDK descriptor with %d files: %w", len(parts), err)
	}
	return &container.Disk{Map: disk}, nil
}

func openParts(text []byte, parts []Part) (*extent.Map, error) {
	if len(text) > maxDescriptorBytes {
		return nil, fmt.Errorf("%w: a descriptor of %d bytes, want at most %d", container.ErrFormat, len(text), maxDescriptorBytes)
	}
	d, err := parseDescriptor(text)
	if err != nil {
		return nil, err
	}
	if err := d.checkParent(); err != nil {
		return nil, err
	}
	var b extent.Builder
	for _, line := range d.parts {
		if line.kind == "ZERO" {
			b.Zero(line.sectors * sectorSize)
			continue
		}
		if len(parts) == 0 {
			return nil, fmt.Errorf("%w: no file was given for %q", container.ErrUnsupported, line.name)
		}
		if err := line.appendTo(&b, parts[0]); err != nil {
			return nil, fmt.Errorf("%q: %w", line.name, err)
		}
		parts = parts[1:]
	}
	if len(parts) > 0 {
		return nil, fmt.Errorf("%w: the descriptor has no extents for %d of the files", container.ErrUnsupported, len(parts))
	}
	return b.Build()
}

// appendTo appends what a line says of a file.
func (p part) appendTo(b *extent.Builder, file Part) error {
	f := container.File{Reader: file.Reader, Size: file.Size}
	size := p.sectors * sectorSize
	switch p.kind {
	case "FLAT", "VMFS":
		if err := f.Contains("extent", uint64(p.offset)*sectorSize, size); err != nil {
			return err
		}
		b.Source(file.Source, p.offset*sectorSize, size)
		return nil
	case "SPARSE", "VMFSSPARSE":
		m, err := openPart(f, file.Source)
		if err != nil {
			return err
		}
		if m.Size() < size {
			return fmt.Errorf("%w: it has %d bytes of the disk, the descriptor says %d", container.ErrFormat, m.Size(), size)
		}
		b.Slice(m, 0, size)
		return nil
	}
	return fmt.Errorf("%w: an extent of type %s", container.ErrUnsupported, p.kind)
}

// openPart returns the part of a disk in a sparse file.
func openPart(f container.File, source extent.Digest) (*extent.Map, error) {
	start, err := f.Bytes("magic", 0, int64(len(headerMagic)))
	if err != nil {
		return nil, err
	}
	var disk *container.Disk
	switch string(start) {
	case cowdMagic:
		disk, err = openCowd(f, source)
	case headerMagic:
		var h header
		if h, err = readHeader(f); err == nil {
			disk, err = openSparse(f, h, source)
		}
	default:
		err = fmt.Errorf("%w: it starts with %q, want %q or %q", container.ErrFormat, start, headerMagic, cowdMagic)
	}
	if err != nil {
		return nil, err
	}
	if disk.Units != nil {
		return nil, fmt.Errorf("%w: it is compressed, and one part of several", container.ErrUnsupported)
	}
	return disk.Map, nil
}
