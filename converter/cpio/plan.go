package cpio

import (
	"context"
	"fmt"
	"math"

	"github.com/cloudlets/cloudlets/converter/inventory"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Options are the parameters of an archive. The zero Options are good.
type Options struct {
	// Dropped is told of every extended attribute, for none of which the format
	// has a form, and the attribute is left out. Without it, an attribute is an
	// error.
	Dropped func(path, attribute string)
}

// maxFiles bounds how many files an archive has.
const maxFiles = 1 << 24

// Plan returns the extent map of an archive of the tree. Entries are in the order
// of a walk, the root first with the name "."; of the names of a file the last
// has the content, as in those of GNU cpio. Times are cut to whole seconds from
// 1970 to 2106. Errors wrap [inventory.ErrTree]: a file must be shorter than
// 4 GiB.
func Plan(ctx context.Context, tree *image.Tree, opts Options) (*extent.Map, error) {
	m, err := newPlan(ctx, tree, opts)
	if err != nil {
		return nil, fmt.Errorf("plan cpio: %w", err)
	}
	return m, nil
}

func newPlan(ctx context.Context, tree *image.Tree, opts Options) (*extent.Map, error) {
	list, err := inventory.Take(ctx, tree, inventory.Limits{
		Name: 255, Target: maxTarget, FileSize: maxContent, Files: maxFiles, Names: math.MaxInt32,
		Major: maxMajor, Minor: maxMinor,
	})
	if err != nil {
		return nil, err
	}
	p := &plan{opts: opts, names: make([]int, len(list.Files))}
	if err := p.add(".", list.Root()); err != nil {
		return nil, err
	}
	if err := p.directory(ctx, "", list.Root()); err != nil {
		return nil, err
	}
	p.header(header{name: trailer, names: 1})
	p.pad(recordSize)
	return p.out.Build()
}

// plan is an archive being planned.
type plan struct {
	opts  Options
	out   extent.Builder
	names []int // that were added, by number of the file
}

// directory adds what is in a directory. prefix is the path of what is in it.
func (p *plan) directory(ctx context.Context, prefix string, d *inventory.File) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, e := range d.Entries {
		path := prefix + e.Name
		if err := p.add(path, e.File); err != nil {
			return fmt.Errorf("/%s: %w", path, err)
		}
		if !e.File.IsDir() {
			continue
		}
		if err := p.directory(ctx, path+"/", e.File); err != nil {
			return err
		}
	}
	return nil
}

// add adds a name of a file.
func (p *plan) add(path string, f *inventory.File) error {
	if len(path) >= maxPath || path == trailer {
		return fmt.Errorf("a path of %d bytes, expected up to %d, and not %s: %w", len(path), maxPath-1, trailer, inventory.ErrTree)
	}
	if err := p.checkXattrs(path, f); err != nil {
		return err
	}
	p.names[f.Number]++
	h := header{
		name: path, number: uint32(f.Number) + 1, mode: f.Mode, uid: f.UID, gid: f.GID, names: uint32(f.Names),
		time: uint32(min(max(f.ModTime.Sec, 0), math.MaxUint32)),
	}
	var content []extent.Extent
	switch f.Type() {
	case image.TypeDir:
		h.names = uint32(f.Subdirectories) + 2
	case image.TypeSymlink:
		content = []extent.Extent{{Kind: extent.Inline, Length: f.Bytes, Data: []byte(f.Target)}}
	case image.TypeChar, image.TypeBlock:
		h.major, h.minor = f.Major, f.Minor
	case image.TypeRegular:
		if p.names[f.Number] == f.Names {
			content = f.Content
		}
	}
	if content != nil {
		h.size = uint32(f.Bytes)
	}
	p.header(h)
	for _, e := range content {
		p.out.Extent(e)
	}
	p.pad(alignment)
	return nil
}

// checkXattrs tells of attributes that are left out.
func (p *plan) checkXattrs(path string, f *inventory.File) error {
	if p.names[f.Number] > 0 {
		return nil // told already
	}
	for _, a := range f.Xattrs {
		if p.opts.Dropped == nil {
			return fmt.Errorf("extended attribute %q: cpio archives have none; leave attributes out explicitly, or choose another format: %w", a.Name, inventory.ErrTree)
		}
		p.opts.Dropped("/"+path, a.Name)
	}
	return nil
}

// header is what a header says.
type header struct {
	name                                string
	number, mode, uid, gid, names, time uint32
	size, major, minor                  uint32
}

// header appends a header and the name.
func (p *plan) header(h header) {
	b := []byte(magic)
	for _, v := range [...]uint32{
		h.number, h.mode, h.uid, h.gid, h.names, h.time, h.size,
		0, 0, // the device that the archive's files are on
		h.major, h.minor, uint32(len(h.name) + 1), 0,
	} {
		b = fmt.Appendf(b, "%08X", v)
	}
	b = append(b, h.name...)
	p.out.Inline(append(b, 0))
	p.pad(alignment)
}

// pad appends zeros up to a multiple.
func (p *plan) pad(to int64) { p.out.Inline(make([]byte, -p.out.Size()&(to-1))) }
