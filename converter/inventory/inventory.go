package inventory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/image"
)

// ErrTree is wrapped by errors about files that a format cannot hold. The
// message names the path.
var ErrTree = errors.New("not representable in this format")

// Limits are what a format can hold. A limit of 0 allows nothing.
type Limits struct {
	Name         int    // bytes of a name
	Target       int    // bytes of a symbolic link's target
	FileSize     int64  // bytes of a regular file
	Files        int    // files, the root among them
	Names        int    // names of one file
	Major, Minor uint32 // the highest numbers of a device
}

// File is a file of the tree, whatever its type and however many names it has.
type File struct {
	*image.Inode
	Number int   // its place in [List.Files]
	Bytes  int64 // of a regular file's content, or of a symbolic link's target
	Names  int   // how many names it has; 1 for a directory

	// Parent and Name are where the file was first met. The root is its own
	// parent and has no name.
	Parent *File
	Name   string

	// Entries are what is in a directory, sorted bytewise by name.
	Entries []Entry
	// Subdirectories counts the directories among them.
	Subdirectories int
}

// Entry is a name in a directory.
type Entry struct {
	Name string
	File *File
}

// Path returns the absolute path under which the file was first met.
func (f *File) Path() string {
	if f.Parent == f {
		return "/"
	}
	var parts []string
	for ; f.Parent != f; f = f.Parent {
		parts = append(parts, f.Name)
	}
	slices.Reverse(parts)
	return "/" + strings.Join(parts, "/")
}

// List is all files of a tree.
type List struct {
	// Files has the root first, every directory before what is in it, and the
	// files first met in one directory in a row, in the order of their names.
	Files []*File
}

// Root returns the root directory.
func (l *List) Root() *File { return l.Files[0] }

// Contents returns the regular files that have content, in the order in which
// it stands in the layers.
func (l *List) Contents() []*File {
	var files []*File
	for _, f := range l.Files {
		if f.IsRegular() && f.Bytes > 0 {
			files = append(files, f)
		}
	}
	slices.SortStableFunc(files, func(a, b *File) int { return cmp.Compare(a.Order, b.Order) })
	return files
}

// Take lists the files of a tree. Errors about files wrap [ErrTree].
func Take(ctx context.Context, tree *image.Tree, limits Limits) (*List, error) {
	if tree == nil || tree.Root == nil || !tree.Root.IsDir() {
		return nil, fmt.Errorf("the tree has no root directory: %w", ErrTree)
	}
	t := &taker{ctx: ctx, limits: limits, linked: make(map[*image.Inode]*File)}
	root, err := t.add(tree.Root, nil, "")
	if err != nil {
		return nil, fmt.Errorf("/: %w", err)
	}
	root.Parent, root.Names = root, 1
	if err := t.directory(root); err != nil {
		return nil, err
	}
	return &t.list, nil
}

// taker is a list being made.
type taker struct {
	ctx    context.Context
	limits Limits
	list   List
	linked map[*image.Inode]*File // that say they have several names
}

// directory lists what is in a directory, then goes down.
func (t *taker) directory(d *File) error {
	if err := t.ctx.Err(); err != nil {
		return err
	}
	names := d.Inode.Names()
	d.Entries = make([]Entry, 0, len(names))
	for _, name := range names {
		f, err := t.entry(d, name)
		if err != nil {
			return fmt.Errorf("%s: %w", (&File{Parent: d, Name: name}).Path(), err)
		}
		d.Entries = append(d.Entries, Entry{name, f})
		if f.IsDir() {
			d.Subdirectories++
		}
	}
	for _, e := range d.Entries {
		if !e.File.IsDir() {
			continue
		}
		if err := t.directory(e.File); err != nil {
			return err
		}
	}
	return nil
}

// entry returns the file that has a name, which it may have had another of.
func (t *taker) entry(d *File, name string) (*File, error) {
	if name == "" || name == "." || name == ".." || len(name) > t.limits.Name || strings.ContainsAny(name, "/\x00") {
		return nil, fmt.Errorf("a name of %d bytes, expected 1 to %d, no slash and no zero byte among them, and not . or ..: %w", len(name), t.limits.Name, ErrTree)
	}
	n := d.Lookup(name)
	f := t.linked[n]
	switch {
	case f == nil:
		var err error
		if f, err = t.add(n, d, name); err != nil {
			return nil, err
		}
		if n.Links > 1 {
			t.linked[n] = f
		}
	case f.IsDir():
		return nil, fmt.Errorf("the directory is %s too: %w", f.Path(), ErrTree)
	}
	if f.Names++; f.Names > t.limits.Names {
		return nil, fmt.Errorf("the file has more than %d names: %w", t.limits.Names, ErrTree)
	}
	return f, nil
}

// add lists a file that is met for the first time.
func (t *taker) add(n *image.Inode, parent *File, name string) (*File, error) {
	if len(t.list.Files) >= t.limits.Files {
		return nil, fmt.Errorf("there are more than %d files: %w", t.limits.Files, ErrTree)
	}
	f := &File{Inode: n, Number: len(t.list.Files), Parent: parent, Name: name}
	if err := t.check(f); err != nil {
		return nil, err
	}
	t.list.Files = append(t.list.Files, f)
	return f, nil
}

const nanoseconds = 1_000_000_000

// check compares a file with the limits, and counts its bytes.
func (t *taker) check(f *File) error {
	if f.Mode>>16 != 0 || f.ModTime.Nsec >= nanoseconds {
		return fmt.Errorf("mode %#o and %d nanoseconds, expected at most 16 bits and less than a second: %w", f.Mode, f.ModTime.Nsec, ErrTree)
	}
	switch f.Type() {
	case image.TypeRegular:
		return t.content(f)
	case image.TypeSymlink:
		return t.target(f)
	case image.TypeChar, image.TypeBlock:
		if f.Major > t.limits.Major || f.Minor > t.limits.Minor {
			return fmt.Errorf("device %d:%d, the highest is %d:%d: %w", f.Major, f.Minor, t.limits.Major, t.limits.Minor, ErrTree)
		}
	case image.TypeDir, image.TypeFIFO, image.TypeSocket:
	default:
		return fmt.Errorf("mode %#o names no file type: %w", f.Mode, ErrTree)
	}
	return nil
}

func (t *taker) content(f *File) error {
	for i, e := range f.Content {
		if e.Length <= 0 || e.Length > t.limits.FileSize-f.Bytes {
			return fmt.Errorf("extent %d of its content has %d bytes after %d, a file can have up to %d: %w", i, e.Length, f.Bytes, t.limits.FileSize, ErrTree)
		}
		f.Bytes += e.Length
	}
	return nil
}

func (t *taker) target(f *File) error {
	if f.Target == "" || len(f.Target) > t.limits.Target || strings.Contains(f.Target, "\x00") {
		return fmt.Errorf("a symbolic link with a target of %d bytes, expected 1 to %d, none of them zero: %w", len(f.Target), t.limits.Target, ErrTree)
	}
	f.Bytes = int64(len(f.Target))
	return nil
}
