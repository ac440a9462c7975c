package diff

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/image"
)

// Aspect is a set of things that can differ between two files of one path.
type Aspect uint16

// What can differ. Type stands alone: files of different types have nothing to
// compare.
const (
	Type    Aspect = 1 << iota
	Content        // the bytes of a regular file, the target of a symbolic link, the numbers of a device
	Size           // of a regular file
	Mode           // permission bits
	Owner          // user or group
	Xattrs         // extended attributes, ACLs among them
	Links          // which other names the file has
	Time           // of the last modification
)

var aspectNames = []string{"type", "content", "size", "mode", "owner", "xattrs", "links", "time"}

// String names what is in the set, separated by commas.
func (a Aspect) String() string { return strings.Join(a.Names(), ",") }

// Names names what is in the set.
func (a Aspect) Names() []string {
	var names []string
	for i, name := range aspectNames {
		if a&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// Change is a path at which two trees differ.
type Change struct {
	Path     string       // slash-separated, from the root; "" is the root
	Old, New *image.Inode // nil where the path is in one tree only
	Aspects  Aspect       // what differs, where it is in both
}

// Added reports whether only the new tree has the path.
func (c Change) Added() bool { return c.Old == nil }

// Removed reports whether only the old tree has the path.
func (c Change) Removed() bool { return c.New == nil }

// SameContent tells whether two regular files of one size, of the old and the
// new tree, have the same content.
type SameContent func(before, after *image.Inode) (bool, error)

// Trees returns where two trees differ: sorted by path, a directory before what
// is in it, and of a directory that one tree does not have all that is in it.
func Trees(before, after *image.Tree, same SameContent) ([]Change, error) {
	c := comparison{same: same, oldNames: firstNames(before), newNames: firstNames(after)}
	if err := c.files("", before.Root, after.Root); err != nil {
		return nil, err
	}
	return c.changes, nil
}

// firstNames returns the first path of each file that has several.
func firstNames(t *image.Tree) map[*image.Inode]string {
	first := make(map[*image.Inode]string)
	for path, n := range t.Walk() {
		if n.IsDir() || n.Links < 2 {
			continue
		}
		if _, seen := first[n]; !seen {
			first[n] = path
		}
	}
	return first
}

// comparison is two trees being compared.
type comparison struct {
	same               SameContent
	oldNames, newNames map[*image.Inode]string
	changes            []Change
}

// files compares what two trees have at a path; one may be nil.
func (c *comparison) files(path string, before, after *image.Inode) error {
	aspects, err := c.aspects(path, before, after)
	if err != nil {
		return fmt.Errorf("compare /%s: %w", path, err)
	}
	if before == nil || after == nil || aspects != 0 {
		c.changes = append(c.changes, Change{path, before, after, aspects})
	}
	for _, name := range namesOfBoth(before, after) {
		if err := c.files(join(path, name), entry(before, name), entry(after, name)); err != nil {
			return err
		}
	}
	return nil
}

// aspects returns what differs between two files.
func (c *comparison) aspects(path string, before, after *image.Inode) (Aspect, error) {
	if before == nil || after == nil {
		return 0, nil
	}
	a, err := Compare(before, after, c.same)
	if a&Type == 0 && cmp.Or(c.oldNames[before], path) != cmp.Or(c.newNames[after], path) {
		a |= Links
	}
	return a, err
}

// Compare returns what differs between two files, but for their names.
func Compare(before, after *image.Inode, same SameContent) (Aspect, error) {
	if before == after {
		return 0, nil
	}
	if before.Type() != after.Type() {
		return Type, nil
	}
	var a Aspect
	for _, x := range []struct {
		aspect Aspect
		differ bool
	}{
		{Mode, before.Mode != after.Mode},
		{Owner, before.UID != after.UID || before.GID != after.GID},
		{Xattrs, !slices.EqualFunc(before.Xattrs, after.Xattrs, equalXattrs)},
		{Time, before.ModTime != after.ModTime},
		{Content, before.Target != after.Target || before.Major != after.Major || before.Minor != after.Minor},
		{Content | Size, before.IsRegular() && before.Size() != after.Size()},
	} {
		if x.differ {
			a |= x.aspect
		}
	}
	if !before.IsRegular() || a&Size != 0 {
		return a, nil
	}
	equal, err := same(before, after)
	if err == nil && !equal {
		a |= Content
	}
	return a, err
}

func equalXattrs(a, b image.Xattr) bool { return a.Name == b.Name && bytes.Equal(a.Value, b.Value) }

// entry returns the entry of what may not be a directory.
func entry(n *image.Inode, name string) *image.Inode {
	if n == nil {
		return nil
	}
	return n.Lookup(name)
}

// namesOfBoth returns the names in two directories, sorted, each once.
func namesOfBoth(a, b *image.Inode) []string {
	switch {
	case a == nil && b == nil:
		return nil
	case a == nil:
		return b.Names()
	case b == nil:
		return a.Names()
	}
	names := slices.Concat(a.Names(), b.Names())
	slices.Sort(names)
	return slices.Compact(names)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "/" + name
}
