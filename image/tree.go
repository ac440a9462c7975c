package image

import (
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/extent"
)

// File types, as in the S_IFMT bits of st_mode (POSIX sys/stat.h, Linux inode(7)).
const (
	TypeMask    uint32 = 0o170000
	TypeFIFO    uint32 = 0o010000
	TypeChar    uint32 = 0o020000
	TypeDir     uint32 = 0o040000
	TypeBlock   uint32 = 0o060000
	TypeRegular uint32 = 0o100000
	TypeSymlink uint32 = 0o120000
	TypeSocket  uint32 = 0o140000
)

// Time is a moment as filesystems keep it.
type Time struct {
	Sec  int64  // seconds since 1970-01-01T00:00:00Z, may be negative
	Nsec uint32 // nanoseconds within the second, below 1e9
}

// Xattr is one extended attribute. The POSIX ACL attributes
// system.posix_acl_access and system.posix_acl_default hold the kernel's
// little-endian xattr form, version 2 (linux/posix_acl_xattr.h).
type Xattr struct {
	Name  string // with its namespace: "user.", "trusted.", "security.", "system."
	Value []byte
}

// Inode is a file, whatever its type and however many names it has: hard links
// are directory entries that share an Inode.
type Inode struct {
	Mode    uint32 // type and permission bits, as in st_mode
	UID     uint32
	GID     uint32
	ModTime Time
	Xattrs  []Xattr // sorted by name, each name once

	// Content is a regular file's bytes: extents in order, none empty; a hole
	// is a zero extent.
	Content []extent.Extent
	// Order sorts regular files by where their content stands in the layers,
	// so that planners can place it in that order and a sequential reader of
	// the result walks its sources once.
	Order int64

	Target       string // a symbolic link's target, never empty
	Major, Minor uint32 // a device's numbers

	// Links counts the names of the file; for a directory it is always 1.
	Links int

	entries map[string]*Inode // a directory's
	sorted  []string          // the keys of entries, sorted by Sort; nil when stale
}

// Type returns the file type bits of the mode.
func (n *Inode) Type() uint32 { return n.Mode & TypeMask }

// IsDir reports whether n is a directory.
func (n *Inode) IsDir() bool { return n.Type() == TypeDir }

// IsRegular reports whether n is a regular file.
func (n *Inode) IsRegular() bool { return n.Type() == TypeRegular }

// Size returns the length of a regular file's content or of a symbolic link's
// target in bytes, and 0 for other types.
func (n *Inode) Size() int64 {
	if n.Type() == TypeSymlink {
		return int64(len(n.Target))
	}
	var size int64
	for _, e := range n.Content {
		size += e.Length
	}
	return size
}

// Lookup returns the entry of a directory, or nil.
func (n *Inode) Lookup(name string) *Inode { return n.entries[name] }

// Names returns the names in a directory, sorted bytewise. The caller must not
// change the slice.
func (n *Inode) Names() []string {
	if n.sorted != nil {
		return n.sorted
	}
	// Not kept: others may be reading n. Sort does that.
	return slices.Sorted(maps.Keys(n.entries))
}

// Link gives child the name in directory n, replacing and returning what had
// the name before, or nil. It keeps Links right on both.
func (n *Inode) Link(name string, child *Inode) (replaced *Inode) {
	if n.entries == nil {
		n.entries = make(map[string]*Inode)
	}
	if replaced = n.entries[name]; replaced != nil {
		replaced.Links--
	} else {
		n.sorted = nil
	}
	n.entries[name] = child
	child.Links++
	return replaced
}

// Unlink removes the name from directory n and returns what had it, or nil.
func (n *Inode) Unlink(name string) *Inode {
	child := n.entries[name]
	if child == nil {
		return nil
	}
	child.Links--
	delete(n.entries, name)
	n.sorted = nil
	return child
}

// RemoveAll removes the name from directory n, and all that is below it. A file
// with other names stays under those.
func (n *Inode) RemoveAll(name string) {
	child := n.Unlink(name)
	if child == nil || !child.IsDir() {
		return
	}
	for name := range child.entries {
		child.RemoveAll(name)
	}
}

// Tree is a rootfs: the merged file tree of an image's layers. Walking it is
// deterministic. The zero Tree has no root; use [NewTree].
//
// Any number of goroutines may read a tree while none changes it. A tree that
// is shared, because it is kept for the next render, is changed by changing a
// [Tree.Clone].
type Tree struct {
	Root *Inode
}

// NewTree returns a tree that holds only a root directory: mode 0755, owned by
// root, dated to the epoch.
func NewTree() *Tree {
	return &Tree{Root: &Inode{Mode: TypeDir | 0o755, Links: 1}}
}

// Sort keeps the names of all directories sorted, so that walking the tree need
// not sort them each time. Call it once a tree is made, before sharing it.
func (t *Tree) Sort() { t.Root.sort() }

func (n *Inode) sort() {
	if !n.IsDir() {
		return
	}
	n.sorted = n.Names()
	for _, child := range n.entries {
		child.sort()
	}
}

// Walk returns every file of the tree with its slash-separated path, the root
// first with the path "". Directories come before what is in them, entries
// sorted bytewise by name. A file with several names comes once for each.
func (t *Tree) Walk() iter.Seq2[string, *Inode] {
	return func(yield func(string, *Inode) bool) { walk("", t.Root, yield) }
}

func walk(path string, n *Inode, yield func(string, *Inode) bool) bool {
	if !yield(path, n) {
		return false
	}
	prefix := path
	if path != "" {
		prefix += "/"
	}
	// The names are copied so that the consumer may unlink as it goes.
	for _, name := range slices.Clone(n.Names()) {
		child := n.Lookup(name)
		if child != nil && !walk(prefix+name, child, yield) {
			return false
		}
	}
	return true
}

// Lookup returns the file at a slash-separated path from the root, without
// following symbolic links, or nil. The path "" is the root.
func (t *Tree) Lookup(path string) *Inode {
	n := t.Root
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if name == "" || name == "." {
			continue
		}
		if n = n.Lookup(name); n == nil {
			return nil
		}
	}
	return n
}

// maxSymlinks is how many symbolic links one path may pass through, as in
// Linux (include/linux/namei.h, MAXSYMLINKS).
const maxSymlinks = 40

// maxDepth is how many directories a path may pass through. It is more than
// fit in PATH_MAX, the longest path Linux takes.
const maxDepth = 2048

// Resolve returns the file at a path as a process with this root would find
// it: symbolic links are followed inside the tree, the last one too, and ".."
// never leaves it. A path that leads nowhere gives an error that wraps
// [fs.ErrNotExist].
func (t *Tree) Resolve(path string) (*Inode, error) {
	return t.descend(path, func(*Inode, string) (*Inode, error) { return nil, fs.ErrNotExist })
}

// descend does the work of Resolve. Where a directory on the way does not have
// the name that comes next, it goes on with what missing returns.
func (t *Tree) descend(path string, missing func(dir *Inode, name string) (*Inode, error)) (*Inode, error) {
	links := 0
	stack := []*Inode{t.Root}
	todo := strings.Split(path, "/")
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		here := stack[len(stack)-1]
		switch name {
		case "", ".":
			continue
		case "..":
			stack = stack[:max(1, len(stack)-1)]
			continue
		}
		if !here.IsDir() {
			return nil, fmt.Errorf("resolve %q: a part of it before %q is not a directory", path, name)
		}
		next := here.Lookup(name)
		if next == nil {
			var err error
			if next, err = missing(here, name); err != nil {
				return nil, fmt.Errorf("resolve %q: %q: %w", path, name, err)
			}
		}
		if next.Type() != TypeSymlink {
			if stack = append(stack, next); len(stack) > maxDepth {
				return nil, fmt.Errorf("resolve %q: more than %d directories deep", path, maxDepth)
			}
			continue
		}
		if links++; links > maxSymlinks {
			return nil, fmt.Errorf("resolve %q: more than %d symbolic links, or one that leads to itself", path, maxSymlinks)
		}
		if strings.HasPrefix(next.Target, "/") {
			stack = stack[:1]
		}
		todo = append(strings.Split(next.Target, "/"), todo...)
	}
	return stack[len(stack)-1], nil
}
