package vmdk

import (
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// Part is a file that holds some of a disk.
type Part struct {
	Name   string // without folders
	Reader io.ReaderAt
	Size   int64         // bytes
	Source extent.Digest // by which the disk's map names it
}

// OpenParts returns the disk that a descriptor makes of several files
// (monolithicFlat, twoGbMaxExtentFlat, twoGbMaxExtentSparse, vmfs). The files are
// those that the caller gives. The extent lines say by its name, whatever folder
// they put before it, which of them is meant: no file is opened by a name.
//
// What is wrong, a file that no line names and lines that name files which are not
// given are refused as [Open] does.
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
	files, err := d.match(parts)
	if err != nil {
		return nil, err
	}
	var b extent.Builder
	for _, line := range d.parts {
		if line.kind == kindZero {
			b.Zero(line.sectors * sectorSize)
			continue
		}
		if err := line.appendTo(&b, files[line.name]); err != nil {
			return nil, fmt.Errorf("%q: %w", line.name, err)
		}
	}
	return b.Build()
}

// match finds the files for the names in a descriptor.
func (d *description) match(parts []Part) (map[string]Part, error) {
	given := make(map[string]Part)
	for _, p := range parts {
		if _, twice := given[p.Name]; twice {
			return nil, fmt.Errorf("%w: two of the files are called %q", container.ErrUnsupported, p.Name)
		}
		given[p.Name] = p
	}
	files, meant, missing := make(map[string]Part), make(map[string]string), []string{}
	for _, line := range d.parts {
		if _, known := files[line.name]; known || line.kind == kindZero {
			continue
		}
		base := line.base()
		if other, twice := meant[base]; twice {
			return nil, fmt.Errorf("%w: it names the files %q and %q, which cannot be told apart", container.ErrUnsupported, other, line.name)
		}
		meant[base] = line.name
		p, ok := given[base]
		if !ok {
			missing = append(missing, base)
		}
		files[line.name] = p
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%w: of the files that it names, there is no %s", container.ErrUnsupported, shorten(missing))
	}
	for _, p := range parts {
		if _, ok := meant[p.Name]; !ok {
			return nil, fmt.Errorf("%w: it does not name a file %q: it names %s", container.ErrUnsupported, p.Name,
				shorten(slices.Sorted(maps.Keys(meant))))
		}
	}
	return files, nil
}

// shorten lists the first of names: hostile descriptors have many, and long ones.
func shorten(names []string) string {
	const shown = 20
	var list strings.Builder
	for i, name := range names[:min(len(names), shown)] {
		if i > 0 {
			list.WriteString(", ")
		}
		fmt.Fprintf(&list, "%.80q", name)
	}
	if len(names) > shown {
		fmt.Fprintf(&list, " and %d more", len(names)-shown)
	}
	return list.String()
}

// kindZero is the type of extents without a file.
const kindZero = "ZERO"

// base returns the name of a line's file without folders, whoever's system wrote
// it.
func (p part) base() string { return path.Base(strings.ReplaceAll(p.name, `\`, "/")) }

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
