package tar

import (
	"context"
	"fmt"
	"time"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/tarball"
)

// Plan returns the tar of a tree. Entries are sorted by path, each directory
// before what is in it; of the names of a file the first has the content and the
// others are hard links. Sockets have no form in a tar and are left out.
func Plan(ctx context.Context, t *image.Tree) (*extent.Map, error) {
	p := newPlan()
	for path, n := range t.Walk() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := p.file(path, n); err != nil {
			return nil, fmt.Errorf("plan tar: /%s: %w", path, err)
		}
	}
	return p.end()
}

// plan is a tar while it is planned.
type plan struct {
	out   extent.Builder
	tar   *tarball.Writer
	first map[*image.Inode]string // the first path of files that have several
}

func newPlan() *plan {
	p := &plan{first: make(map[*image.Inode]string)}
	p.tar = tarball.NewWriter(inline{&p.out})
	return p
}

// newGNUPlan begins a tar in GNU's format from before pax.
func newGNUPlan() *plan {
	p := new(plan)
	p.tar = tarball.NewGNUWriter(inline{&p.out})
	return p
}

// end ends the tar.
func (p *plan) end() (*extent.Map, error) {
	if err := p.tar.End(); err != nil {
		return nil, fmt.Errorf("plan tar: %w", err)
	}
	m, err := p.out.Build()
	if err != nil {
		return nil, fmt.Errorf("plan tar: %w", err)
	}
	return m, nil
}

// inline appends what is written to a map.
type inline struct{ out *extent.Builder }

func (w inline) Write(p []byte) (int, error) {
	w.out.Inline(p)
	return len(p), nil
}

func (p *plan) file(path string, n *image.Inode) error {
	if n.Type() == image.TypeSocket {
		return nil
	}
	e := entry(path, n)
	if n.Links > 1 && !n.IsDir() {
		if first, seen := p.first[n]; seen {
			e.HardLink, e.Target, e.Content, e.Xattrs, e.Major, e.Minor = first, "", nil, nil, 0, 0
			return p.tar.Header(e)
		}
		p.first[n] = path
	}
	if err := p.tar.Header(e); err != nil {
		return err
	}
	for _, x := range n.Content {
		if x.Kind != extent.Zero {
			p.out.Extent(x)
		}
	}
	return p.tar.Pad(e.DataSize())
}

// epoch is the time of what has none.
func epoch() time.Time { return time.Unix(0, 0) }

// entry describes a file. Its holes stay holes.
func entry(path string, n *image.Inode) *tarball.Entry {
	e := &tarball.Entry{
		Path: path, Mode: n.Mode, UID: n.UID, GID: n.GID,
		ModTime: time.Unix(n.ModTime.Sec, int64(n.ModTime.Nsec)),
		Target:  n.Target, Major: n.Major, Minor: n.Minor,
	}
	for _, x := range n.Xattrs {
		e.Xattrs = append(e.Xattrs, tarball.Xattr(x))
	}
	for _, x := range n.Content {
		start := e.Size
		e.Size += x.Length
		last := len(e.Content) - 1
		switch {
		case x.Kind == extent.Zero:
		case last >= 0 && e.Content[last].Start+e.Content[last].Length == start:
			e.Content[last].Length += x.Length
		default:
			e.Content = append(e.Content, tarball.Fragment{Start: start, Length: x.Length})
		}
	}
	return e
}
