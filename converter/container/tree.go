package container

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Memory bounds what is made of foreign bytes: a few of them can say that there
// are any number of files.
type Memory struct {
	Limit int64 // bytes
	used  int64
}

// Spend counts n bytes that are about to be used. The error wraps ErrUnsupported.
func (m *Memory) Spend(n int64) error {
	if m.used += n; m.used > m.Limit {
		return fmt.Errorf("%w: its files take more than %d bytes of memory to list", ErrUnsupported, m.Limit)
	}
	return nil
}

// SpendName counts a name in a directory that is about to be linked.
func (m *Memory) SpendName(name string) error { return m.Spend(linkMemory + int64(len(name))) }

// Append appends an extent to the content of a file, joined to the last one if it
// goes on there.
func (m *Memory) Append(n *image.Inode, e extent.Extent) error {
	if last := len(n.Content) - 1; last >= 0 {
		l := &n.Content[last]
		if l.Kind == e.Kind && l.Digest == e.Digest && (e.Kind == extent.Zero || l.Offset+l.Length == e.Offset) {
			l.Length += e.Length
			return nil
		}
	}
	n.Content = append(n.Content, e)
	return m.Spend(ExtentMemory)
}

// MaxTree is the limit of memory, in bytes, for the tree of a filesystem: some
// two million files.
const MaxTree = 1 << 30

// About what parts of a tree take, in bytes, while their lists grow.
const (
	InodeMemory  = 256
	ExtentMemory = 170
	XattrMemory  = 64 // besides its bytes
	linkMemory   = 64 // besides the name
)

// maxDepth is how many directories can be above a file: more than a path has
// room for in Linux.
const maxDepth = 2048

// Inodes reads the files of a foreign filesystem by what it calls them: numbers
// or places.
type Inodes interface {
	// ReadInode reads a file; a directory's entries are left out.
	ReadInode(id uint64) (*image.Inode, error)
	// ReadDirectory calls link for every entry of a directory that was read,
	// but not for "." and "..". It ends with the first error of link.
	ReadDirectory(id uint64, link func(name string, id uint64) error) error
}

// ReadTree returns the tree of a foreign filesystem. Each file is read once; what
// is found under several names is a hard link. A directory that has two names, or
// contains itself, is an error, as are names that are none and that stand twice.
func ReadTree(root uint64, from Inodes, memory *Memory) (*image.Tree, error) {
	g := &grower{from: from, memory: memory, files: make(map[uint64]*image.Inode), dirs: make(map[uint64]bool)}
	n, err := g.read(root)
	if err != nil {
		return nil, fmt.Errorf("the root directory: %w", err)
	}
	if !n.IsDir() {
		return nil, fmt.Errorf("%w: the root is not a directory", ErrFormat)
	}
	n.Links = 1
	g.dirs[root] = true
	g.todo = []*branch{{id: root, inode: n}}
	for len(g.todo) > 0 {
		last := len(g.todo) - 1
		b := g.todo[last]
		g.todo = g.todo[:last]
		if err := from.ReadDirectory(b.id, func(name string, id uint64) error { return g.link(b, name, id) }); err != nil {
			return nil, fmt.Errorf("%s: %w", b.path(), err)
		}
	}
	tree := &image.Tree{Root: n}
	tree.Sort()
	return tree, nil
}

// grower is a tree being read.
type grower struct {
	from   Inodes
	memory *Memory
	files  map[uint64]*image.Inode // those that are not directories
	dirs   map[uint64]bool         // those that are
	todo   []*branch               // directories whose entries are still to be read
}

// branch is a directory of the tree.
type branch struct {
	id    uint64
	inode *image.Inode
	above *branch
	name  string
	depth int
}

func (b *branch) path() string {
	var parts []string
	for ; b.above != nil; b = b.above {
		parts = append(parts, b.name)
	}
	slices.Reverse(parts)
	return "/" + strings.Join(parts, "/")
}

func (g *grower) read(id uint64) (*image.Inode, error) {
	if err := g.memory.Spend(InodeMemory); err != nil {
		return nil, err
	}
	return g.from.ReadInode(id)
}

// link links a file into a directory.
func (g *grower) link(b *branch, name string, id uint64) error {
	if err := g.checkEntry(b, name, id); err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	if n := g.files[id]; n != nil {
		b.inode.Link(name, n)
		return nil
	}
	n, err := g.read(id)
	if err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	b.inode.Link(name, n)
	if !n.IsDir() {
		g.files[id] = n
		return nil
	}
	g.dirs[id] = true
	g.todo = append(g.todo, &branch{id: id, inode: n, above: b, name: name, depth: b.depth + 1})
	return nil
}

func (g *grower) checkEntry(b *branch, name string, id uint64) error {
	switch {
	case name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("%w: it is no name of a file", ErrFormat)
	case b.inode.Lookup(name) != nil:
		return fmt.Errorf("%w: the name stands twice in one directory", ErrFormat)
	case g.dirs[id]:
		return fmt.Errorf("%w: the directory has another name already, or contains itself", ErrFormat)
	case b.depth == maxDepth:
		return fmt.Errorf("%w: more than %d directories deep", ErrUnsupported, maxDepth)
	}
	return g.memory.SpendName(name)
}

// SortXattrs sorts the attributes of a file by name. A name that stands twice is
// an error, which wraps ErrFormat.
func SortXattrs(attrs []image.Xattr) error {
	slices.SortFunc(attrs, func(a, b image.Xattr) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(attrs); i++ {
		if attrs[i].Name == attrs[i-1].Name {
			return fmt.Errorf("%w: the extended attribute %q stands twice", ErrFormat, attrs[i].Name)
		}
	}
	return nil
}
