package image

import (
	"fmt"
	"strings"

	"github.com/cloudlets/cloudlets/image/tarball"
)

// Names of files that stand for a removal (OCI image specification, layer.md,
// "Whiteouts").
const (
	whiteoutPrefix = ".wh."         // before the name of what is removed
	whiteoutOpaque = ".wh..wh..opq" // everything in this directory is removed
	whiteoutAUFS   = ".wh..wh."     // begins the names of AUFS's own files
)

type whiteout uint8

const (
	notWhiteout     whiteout = iota
	removesFile              // the path returned, and all below it
	removesChildren          // all below the path returned
	removesNothing           // no file of the image either
)

// whiteoutKind says what removal a path stands for, and of which path.
func whiteoutKind(path string) (whiteout, string) {
	if !strings.Contains(path, whiteoutPrefix) {
		return notWhiteout, ""
	}
	dir, name := SplitPath(path)
	if strings.Contains("/"+dir, "/"+whiteoutAUFS) {
		return removesNothing, ""
	}
	switch {
	case name == whiteoutOpaque:
		return removesChildren, dir
	case strings.HasPrefix(name, whiteoutAUFS):
		return removesNothing, ""
	case strings.HasPrefix(name, whiteoutPrefix):
		return removesFile, strings.TrimPrefix(dir+"/"+name[len(whiteoutPrefix):], "/")
	}
	return notWhiteout, ""
}

// whiteout removes what an entry says is removed, if it does.
func (m *merger) whiteout(e *tarball.Entry) error {
	kind, path := whiteoutKind(e.Path)
	switch kind {
	case removesChildren:
		// The directory may be reached through links, but is not one.
		dir := m.tree.Root
		if path != "" {
			dir = m.lookup(path)
		}
		if dir == nil || !dir.IsDir() {
			return nil
		}
		for name := range dir.entries {
			dir.RemoveAll(name)
		}
	case removesFile:
		return m.remove(path)
	}
	return nil
}

func (m *merger) remove(path string) error {
	dir, name := SplitPath(path)
	if name == "" || name == "." || name == ".." {
		return fmt.Errorf("a whiteout of %q", name)
	}
	if parent, err := m.tree.Resolve(dir); err == nil && parent.IsDir() {
		parent.RemoveAll(name)
	}
	return nil
}
