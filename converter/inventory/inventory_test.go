package inventory

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// generous limits are those that no test reaches.
func generous() Limits {
	return Limits{Name: 255, Target: 4095, FileSize: math.MaxInt64, Files: 1000, Names: 1000, Major: 4095, Minor: 1 << 20}
}

func dir() *image.Inode { return &image.Inode{Mode: image.TypeDir | 0o755} }

func regular(order int64, sizes ...int64) *image.Inode {
	n := &image.Inode{Mode: image.TypeRegular, Order: order}
	for _, size := range sizes {
		n.Content = append(n.Content, extent.Extent{Length: size})
	}
	return n
}

func TestFilesAreNumberedDirectoryByDirectory(t *testing.T) {
	tree := image.NewTree()
	b := dir()
	shared := regular(2, 10, 20)
	tree.Root.Link("b", b)
	tree.Root.Link("c", shared)
	tree.Root.Link("a", regular(3, 1))
	b.Link("z", shared)
	b.Link("y", regular(1, 5))
	b.Link("x", regular(0))
	list, err := Take(t.Context(), tree, generous())
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for i, f := range list.Files {
		if f.Number != i {
			t.Errorf("%s has number %d at place %d", f.Path(), f.Number, i)
		}
		paths = append(paths, f.Path())
	}
	if want := []string{"/", "/a", "/b", "/c", "/b/x", "/b/y"}; !slices.Equal(paths, want) {
		t.Errorf("files %q, want %q", paths, want)
	}
	if root := list.Root(); root.Subdirectories != 1 || len(root.Entries) != 3 || root.Parent != root {
		t.Errorf("root %+v", root)
	}
	if c := list.Files[3]; c.Names != 2 || c.Bytes != 30 {
		t.Errorf("/c has %d names and %d bytes", c.Names, c.Bytes)
	}
	var order []string
	for _, f := range list.Contents() {
		order = append(order, f.Path())
	}
	if want := []string{"/b/y", "/c", "/a"}; !slices.Equal(order, want) {
		t.Errorf("contents in the order %q, want %q", order, want)
	}
}

func TestFilesThatDoNotFitAreNamed(t *testing.T) {
	twice, crowd := dir(), regular(0)
	for name, c := range map[string]struct {
		files  map[string]*image.Inode
		limits func(*Limits)
	}{
		"a long name":       {files: map[string]*image.Inode{"sub/" + strings.Repeat("n", 256): regular(0)}},
		"dots":              {files: map[string]*image.Inode{"sub/..": regular(0)}},
		"a zero byte":       {files: map[string]*image.Inode{"sub/a\x00": regular(0)}},
		"a directory twice": {files: map[string]*image.Inode{"sub/a": twice, "sub/b": twice}},
		"mode bits":         {files: map[string]*image.Inode{"sub/a": {Mode: 1<<16 | image.TypeRegular}}},
		"no type":           {files: map[string]*image.Inode{"sub/a": {Mode: 0o644}}},
		"nanoseconds":       {files: map[string]*image.Inode{"sub/a": {Mode: image.TypeFIFO, ModTime: image.Time{Nsec: 1e9}}}},
		"no target":         {files: map[string]*image.Inode{"sub/a": {Mode: image.TypeSymlink}}},
		"a high device":     {files: map[string]*image.Inode{"sub/a": {Mode: image.TypeBlock, Major: 4096}}},
		"an empty extent":   {files: map[string]*image.Inode{"sub/a": regular(0, 0)}},
		"a large file":      {files: map[string]*image.Inode{"sub/a": regular(0, 60, 41)}, limits: func(l *Limits) { l.FileSize = 100 }},
		"an endless file":   {files: map[string]*image.Inode{"sub/a": regular(0, math.MaxInt64, 1)}},
		"many names":        {files: map[string]*image.Inode{"sub/a": crowd, "sub/b": crowd, "sub/c": crowd}, limits: func(l *Limits) { l.Names = 2 }},
		"many files":        {files: map[string]*image.Inode{"sub/a": regular(0), "sub/b": regular(0)}, limits: func(l *Limits) { l.Files = 3 }},
	} {
		t.Run(name, func(t *testing.T) {
			tree, sub := image.NewTree(), dir()
			tree.Root.Link("sub", sub)
			for path, n := range c.files {
				sub.Link(strings.TrimPrefix(path, "sub/"), n)
			}
			limits := generous()
			if c.limits != nil {
				c.limits(&limits)
			}
			_, err := Take(t.Context(), tree, limits)
			if !errors.Is(err, ErrTree) || !strings.HasPrefix(err.Error(), "/sub/") {
				t.Fatalf("error %v, want one that names the path and wraps ErrTree", err)
			}
		})
	}
}

func TestATreeNeedsARoot(t *testing.T) {
	for _, tree := range []*image.Tree{nil, {}, {Root: regular(0)}} {
		if _, err := Take(t.Context(), tree, generous()); !errors.Is(err, ErrTree) {
			t.Errorf("error %v", err)
		}
	}
}

func TestACancelledContextStopsTheWalk(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Take(ctx, image.NewTree(), generous()); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
}
