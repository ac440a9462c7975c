package tar

import (
	"fmt"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image/tarball"
)

// File is a file in a tar that is not that of a tree.
type File struct {
	Path     string // without a slash at either end
	Mode     uint32 // type and permission bits, as in st_mode
	UID, GID uint32
	Content  *extent.Map
}

// PlanFiles returns the tar of some regular files, in their order, without their
// directories. Holes are written out: those who unpack such tars are often not
// prepared for sparse files. Times are zero.
func PlanFiles(files ...File) (*extent.Map, error) { return newPlan().files(files) }

// PlanGNUFiles is PlanFiles for readers that know GNU's format from before pax
// alone. Paths have at most 100 bytes.
func PlanGNUFiles(files ...File) (*extent.Map, error) { return newGNUPlan().files(files) }

func (p *plan) files(files []File) (*extent.Map, error) {
	for _, f := range files {
		if err := p.content(f); err != nil {
			return nil, fmt.Errorf("plan tar: %s: %w", f.Path, err)
		}
	}
	return p.end()
}

func (p *plan) content(f File) error {
	size := f.Content.Size()
	e := &tarball.Entry{Path: f.Path, Mode: f.Mode, UID: f.UID, GID: f.GID, ModTime: epoch(), Size: size}
	if size > 0 {
		e.Content = []tarball.Fragment{{Start: 0, Length: size}}
	}
	if err := p.tar.Header(e); err != nil {
		return err
	}
	p.out.Map(f.Content)
	return p.tar.Pad(size)
}
