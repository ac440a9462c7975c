package tar

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/diff"
	"github.com/cloudlets/cloudlets/image/tarball"
)

// whiteoutPrefix begins the name of an empty file that stands for the removal of
// the file whose name follows (OCI image specification, layer.md, "Whiteouts").
const whiteoutPrefix = ".wh."

// PlanChanges returns the tar of a layer that turns another tree into this one,
// which differs from it by changes. What differs in anything is in the layer
// whole, with all its names and with the directories it is in, so that engines
// that know the layer only make those as they should be.
func PlanChanges(ctx context.Context, tree *image.Tree, changes []diff.Change) (*extent.Map, error) {
	p := newPlan()
	wanted := make(map[string]bool)
	files := make(map[*image.Inode]bool) // with several names
	for _, c := range changes {
		if c.Removed() {
			if err := p.whiteout(c.Path, tree, wanted); err != nil {
				return nil, fmt.Errorf("plan layer: %w", err)
			}
			continue
		}
		wantParents(wanted, c.Path)
		if !c.New.IsDir() && c.New.Links > 1 {
			files[c.New] = true
		}
	}
	for name, n := range tree.Walk() {
		if files[n] {
			wantParents(wanted, name)
		}
	}
	for name, n := range tree.Walk() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !wanted[name] {
			continue
		}
		if strings.HasPrefix(path.Base(name), whiteoutPrefix) {
			return nil, fmt.Errorf("plan layer: /%s: in a layer a name that begins with %q means a removal", name, whiteoutPrefix)
		}
		if err := p.file(name, n); err != nil {
			return nil, fmt.Errorf("plan layer: /%s: %w", name, err)
		}
	}
	return p.end()
}

// wantParents marks a path and the directories it is in.
func wantParents(wanted map[string]bool, name string) {
	for ; !wanted[name]; name = strings.TrimPrefix(path.Dir("/"+name), "/") {
		wanted[name] = true
	}
}

// whiteout says that a path is removed, unless its directory is too.
func (p *plan) whiteout(name string, tree *image.Tree, wanted map[string]bool) error {
	dir, base := image.SplitPath(name)
	if parent := tree.Lookup(dir); parent == nil || !parent.IsDir() {
		return nil
	}
	wantParents(wanted, dir)
	return p.tar.Header(&tarball.Entry{Path: strings.TrimPrefix(dir+"/"+whiteoutPrefix+base, "/"), Mode: image.TypeRegular})
}
