package boot

import (
	"fmt"
	"strings"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// fatEpoch is the earliest time that FAT can tell, 1980-01-01: when generated
// files count as made.
var fatEpoch = image.Time{Sec: 315532800}

// Files is a tree being made: of generated files, and of references to the same
// content as in other trees. The first mistake is kept for [Files.Tree].
type Files struct {
	tree *image.Tree
	err  error
}

// NewFiles returns a tree that holds nothing.
func NewFiles() *Files {
	f := &Files{tree: image.NewTree()}
	f.tree.Root.ModTime = fatEpoch
	return f
}

// Tree returns the tree, or the first mistake made.
func (f *Files) Tree() (*image.Tree, error) { return f.tree, f.err }

// Text adds a generated file.
func (f *Files) Text(path, content string) {
	n := &image.Inode{Mode: image.TypeRegular | 0o644, ModTime: fatEpoch}
	n.SetContent([]byte(content))
	f.add(path, n)
}

// Map adds a file with the content of a map.
func (f *Files) Map(path string, m *extent.Map) {
	n := &image.Inode{Mode: image.TypeRegular | 0o644, ModTime: fatEpoch}
	for _, e := range m.All() {
		n.Content = append(n.Content, e)
	}
	f.add(path, n)
}

// Reference adds a file with the content of n.
func (f *Files) Reference(path string, n *image.Inode) {
	f.add(path, &image.Inode{
		Mode: image.TypeRegular | 0o644, ModTime: n.ModTime, Order: n.Order, Content: n.Content,
	})
}

// add links a file at an absolute path and makes the directories it needs.
func (f *Files) add(path string, n *image.Inode) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	dir := f.tree.Root
	for _, name := range parts[:len(parts)-1] {
		next := dir.Lookup(name)
		if next == nil {
			next = &image.Inode{Mode: image.TypeDir | 0o755, ModTime: fatEpoch}
			dir.Link(name, next)
		}
		if !next.IsDir() {
			f.fail(fmt.Errorf("add %s: %s is a file", path, name))
			return
		}
		dir = next
	}
	name := parts[len(parts)-1]
	if dir.Lookup(name) != nil {
		f.fail(fmt.Errorf("add %s: it is there already", path))
		return
	}
	dir.Link(name, n)
}

func (f *Files) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}
