package convertertest

import (
	"io/fs"
	"maps"
	"os"
	"strings"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Files is a tree to be: content by path. A content that starts with [LinkTo] is
// a symbolic link.
type Files map[string]string

// What stands for something else than content.
const (
	LinkTo  = "-> "
	Removed = "removed" // see [Files.With]
)

// With returns the files and more, without those whose content there is
// [Removed].
func (f Files) With(more Files) Files {
	all := make(Files)
	maps.Copy(all, f)
	for path, content := range more {
		if all[path] = content; content == Removed {
			delete(all, path)
		}
	}
	return all
}

// Tree makes the tree. Regular files are references to blobs, as in an image.
func (f Files) Tree(blobs Blobs) *image.Tree {
	tree := image.NewTree()
	for path, content := range f {
		dir := tree.Root
		parts := strings.Split(path, "/")
		for _, name := range parts[:len(parts)-1] {
			if dir.Lookup(name) == nil {
				dir.Link(name, &image.Inode{Mode: image.TypeDir | 0o755})
			}
			dir = dir.Lookup(name)
		}
		dir.Link(parts[len(parts)-1], blobs.inode(content))
	}
	return tree
}

func (b Blobs) inode(content string) *image.Inode {
	if target, ok := strings.CutPrefix(content, LinkTo); ok {
		return &image.Inode{Mode: image.TypeSymlink | 0o777, Target: target}
	}
	n := &image.Inode{Mode: image.TypeRegular | 0o644}
	if content != "" {
		n.Content = []extent.Extent{{Kind: extent.Source, Length: int64(len(content)), Digest: b.Add([]byte(content))}}
	}
	return n
}

// Installed returns the files below a directory of this machine whose names are
// wanted. The test fails where there are none, and says which Debian package
// holds them.
func Installed(t TB, dir, debianPackage string, want func(name string) bool) Files {
	t.Helper()
	found := make(Files)
	err := fs.WalkDir(os.DirFS("/"), dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !want(entry.Name()) {
			return err
		}
		content, err := os.ReadFile("/" + path)
		found[path] = string(content)
		return err
	})
	if err != nil || len(found) == 0 {
		t.Fatalf("/%s: %d files, %v; the test needs them. Install them: apt-get install %s", dir, len(found), err, debianPackage)
	}
	return found
}
