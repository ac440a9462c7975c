package ova

import (
	"fmt"
	"io"
	"strings"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/vmdk"
	"github.com/cloudlets/cloudlets/extent"
)

// Package is what is in a package.
type Package struct {
	Name  string // of the virtual machine
	Disks []PackedDisk

	files    []member
	manifest []digestLine
}

// PackedDisk is a disk of a package.
type PackedDisk struct {
	// Name is that of the disk's file in the package; empty for a disk of zeros,
	// which has none.
	Name string
	*container.Disk
}

// Open returns the disks in a package: r reads the package, size is its length
// in bytes, and source is the digest by which the disks' maps name it. What a
// compressed disk names besides, [container.Unpacked], is its own: each is read
// by its own [container.Disk.NewReader].
//
// The description and the manifest may have 1 MiB, the package 1000 files. Disks
// that are compressed as files, cut into chunks, differences to other disks, or
// elsewhere than in the package are refused with container.ErrUnsupported, all
// else that is wrong with container.ErrFormat. The hashes of the manifest are
// checked by [Package.Verify].
func Open(r io.ReaderAt, size int64, source extent.Digest) (*Package, error) {
	p, err := open(container.File{Reader: r, Size: size}, source)
	if err != nil {
		return nil, fmt.Errorf("open OVA package of %d bytes: %w", size, err)
	}
	return p, nil
}

func open(f container.File, source extent.Digest) (*Package, error) {
	files, err := readMembers(f)
	if err != nil {
		return nil, err
	}
	p := &Package{files: files}
	ovf, err := p.one(".ovf")
	if err != nil {
		return nil, err
	}
	text, err := ovf.text()
	if err != nil {
		return nil, err
	}
	d, err := parseDescription(text)
	if err != nil {
		return nil, err
	}
	p.Name = d.System.ID
	if err := p.readManifest(); err != nil {
		return nil, err
	}
	return p, p.openDisks(d, source)
}

// find returns the file of a name.
func (p *Package) find(name string) (member, error) {
	for _, m := range p.files {
		if m.name == name {
			return m, nil
		}
	}
	return member{}, fmt.Errorf("%w: the description names the file %q, which is not in the package; nothing else is read", container.ErrUnsupported, name)
}

// one returns the only file whose name has a suffix.
func (p *Package) one(suffix string) (found member, err error) {
	for _, m := range p.files {
		if !strings.HasSuffix(strings.ToLower(m.name), suffix) {
			continue
		}
		if found.name != "" {
			return found, fmt.Errorf("%w: it has the files %q and %q, want one %s", container.ErrFormat, found.name, m.name, suffix)
		}
		found = m
	}
	if found.name == "" {
		return found, fmt.Errorf("%w: it has no %s file", container.ErrFormat, suffix)
	}
	return found, nil
}

// openDisks opens the disks that the description lists.
func (p *Package) openDisks(d *description, source extent.Digest) error {
	if len(d.Disks) > maxFiles {
		return fmt.Errorf("%w: the description lists %d disks, want at most %d", container.ErrFormat, len(d.Disks), maxFiles)
	}
	for _, listed := range d.Disks {
		disk, err := p.openDisk(d, listed, source)
		if err != nil {
			return fmt.Errorf("disk %q: %w", listed.ID, err)
		}
		p.Disks = append(p.Disks, disk)
	}
	return nil
}

func (p *Package) openDisk(d *description, listed listedDisk, source extent.Digest) (PackedDisk, error) {
	if listed.Parent != "" {
		return PackedDisk{}, fmt.Errorf("%w: it holds the differences to the disk %q", container.ErrUnsupported, listed.Parent)
	}
	if listed.File == "" {
		return emptyDisk(listed)
	}
	name, err := d.file(listed.File)
	if err != nil {
		return PackedDisk{}, err
	}
	m, err := p.find(name)
	if err != nil {
		return PackedDisk{}, err
	}
	opened, err := vmdk.Open(m.content(), m.size, source)
	if err != nil {
		return PackedDisk{}, fmt.Errorf("%s: %w", name, err)
	}
	opened.Map, err = shift(opened.Map, source, m.off)
	return PackedDisk{Name: name, Disk: opened}, err
}

// emptyDisk returns a disk without a file: zeros.
func emptyDisk(listed listedDisk) (PackedDisk, error) {
	size, err := listed.size()
	if err != nil {
		return PackedDisk{}, err
	}
	var b extent.Builder
	b.Zero(size)
	m, err := b.Build()
	return PackedDisk{Disk: &container.Disk{Map: m}}, err
}

// shift returns a map of what starts at off of the file that it should name.
func shift(m *extent.Map, source extent.Digest, off int64) (*extent.Map, error) {
	var b extent.Builder
	b.Grow(m.Len(), int(m.InlineSize()))
	for _, e := range m.All() {
		if e.Kind == extent.Source && e.Digest == source {
			e.Offset += off
		}
		b.Extent(e)
	}
	return b.Build()
}
