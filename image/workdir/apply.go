package workdir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/diff"
)

// Options say how files are made.
type Options struct {
	// NoOwner leaves files to whoever makes them, and devices out: for users
	// other than root.
	NoOwner bool
	// Warn is told of what was left out; nil for nobody.
	Warn func(path, what string)
}

// Apply turns what is in a directory into a tree, from which it differs by
// changes (package diff). open gives the content of files. Nothing outside of the
// directory is touched, whatever links there are in it. Where it fails, what it
// did stays done; doing it again completes it.
func Apply(ctx context.Context, dir string, tree *image.Tree, changes []diff.Change, open extent.Opener, o Options) error {
	if o.Warn == nil {
		o.Warn = func(string, string) {}
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open directory %s: %w", dir, err)
	}
	root := os.NewFile(uintptr(fd), dir)
	defer root.Close()
	changes = withAllNames(tree, changes)
	a := applier{Options: o, ctx: ctx, root: root, tree: tree, open: open, first: make(map[*image.Inode]string), touched: make(map[string]bool)}
	for _, step := range []func([]diff.Change) error{a.removeAll, a.putAll, a.finish} {
		if err := step(changes); err != nil {
			return fmt.Errorf("write to %s: %w", dir, err)
		}
	}
	return nil
}

// withAllNames adds the other names of the files that are to be made anew, so
// that all names of a file lead to the same.
func withAllNames(tree *image.Tree, changes []diff.Change) []diff.Change {
	anew := make(map[*image.Inode]bool)
	changed := make(map[string]bool)
	for _, c := range changes {
		changed[c.Path] = true
		if c.New != nil && !c.New.IsDir() && c.New.Links > 1 {
			anew[c.New] = true
		}
	}
	if len(anew) == 0 {
		return changes
	}
	changes = slices.Clone(changes)
	for path, n := range tree.Walk() {
		if anew[n] && !changed[path] {
			changes = append(changes, diff.Change{Path: path, Old: n, New: n})
		}
	}
	for i, c := range changes {
		if anew[c.New] && c.Old != nil && c.Aspects&diff.Type == 0 {
			changes[i].Aspects |= diff.Links
		}
	}
	slices.SortFunc(changes, func(a, b diff.Change) int { return strings.Compare(a.Path, b.Path) })
	return changes
}

type applier struct {
	Options
	ctx     context.Context
	root    *os.File
	tree    *image.Tree
	open    extent.Opener
	first   map[*image.Inode]string // where a file of several names was made
	touched map[string]bool         // directories whose status is to be set at the end
}

// parent opens the directory that a path is in.
func (a *applier) parent(name string) (*os.File, error) {
	dir := strings.TrimPrefix(path.Dir("/"+name), "/")
	a.touched[dir] = true
	return a.directory(dir)
}

// directory opens a directory below the root, without following any link.
func (a *applier) directory(dir string) (*os.File, error) {
	if dir == "" {
		dir = "."
	}
	fd, err := unix.Openat2(int(a.root.Fd()), dir, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, fmt.Errorf("/%s: %w", dir, err)
	}
	return os.NewFile(uintptr(fd), dir), nil
}

// removeAll removes what is gone or has become something of another kind.
func (a *applier) removeAll(changes []diff.Change) error {
	for _, c := range slices.Backward(changes) {
		if c.Old == nil || c.New != nil && c.Aspects&diff.Type == 0 {
			continue
		}
		dir, err := a.parent(c.Path)
		if err != nil {
			return err
		}
		flags := 0
		if c.Old.IsDir() {
			flags = unix.AT_REMOVEDIR
		}
		err = unix.Unlinkat(int(dir.Fd()), path.Base(c.Path), flags)
		dir.Close()
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove /%s: %w", c.Path, err)
		}
	}
	return nil
}

// putAll makes what is new and what has changed.
func (a *applier) putAll(changes []diff.Change) error {
	for _, c := range changes {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		if c.New == nil {
			continue
		}
		if err := a.put(c); err != nil {
			return fmt.Errorf("/%s: %w", c.Path, err)
		}
	}
	return nil
}

func (a *applier) put(c diff.Change) error {
	if c.New.IsDir() {
		a.touched[c.Path] = true
		if c.Path == "" || c.Old != nil && c.Aspects&diff.Type == 0 {
			return nil
		}
	}
	dir, err := a.parent(c.Path)
	if err != nil {
		return err
	}
	defer dir.Close()
	name := path.Base(c.Path)
	switch {
	case c.New.IsDir():
		return unix.Mkdirat(int(dir.Fd()), name, 0o700)
	case c.Old != nil && c.Aspects&(diff.Type|diff.Content|diff.Size|diff.Links) == 0:
		return a.attributes(dir, name, c.New)
	case c.Old == nil || c.Aspects&diff.Type != 0:
		return a.create(dir, name, c.Path, c.New)
	}
	// What is there is replaced in one step.
	temporary := ".cloudlets-new"
	if err := unix.Unlinkat(int(dir.Fd()), temporary, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	if err := a.create(dir, temporary, c.Path, c.New); err != nil {
		return err
	}
	return unix.Renameat(int(dir.Fd()), temporary, int(dir.Fd()), name)
}

// create makes a file that is no directory, whose place in the tree is at.
func (a *applier) create(dir *os.File, name, at string, n *image.Inode) error {
	if n.Links > 1 {
		if first, made := a.first[n]; made {
			return a.link(first, dir, name)
		}
		a.first[n] = at
	}
	var err error
	switch n.Type() {
	case image.TypeRegular:
		err = a.write(dir, name, n)
	case image.TypeSymlink:
		err = unix.Symlinkat(n.Target, int(dir.Fd()), name)
	case image.TypeFIFO, image.TypeSocket:
		err = unix.Mknodat(int(dir.Fd()), name, n.Type()|0o600, 0)
	default:
		if a.NoOwner {
			a.Warn(at, "a device, left out")
			return nil
		}
		err = unix.Mknodat(int(dir.Fd()), name, n.Type()|0o600, int(unix.Mkdev(n.Major, n.Minor)))
	}
	if err != nil {
		return err
	}
	return a.attributes(dir, name, n)
}

// link gives a file that was made another name.
func (a *applier) link(first string, dir *os.File, name string) error {
	from, err := a.directory(strings.TrimPrefix(path.Dir("/"+first), "/"))
	if err != nil {
		return err
	}
	defer from.Close()
	return unix.Linkat(int(from.Fd()), path.Base(first), int(dir.Fd()), name, 0)
}

// write makes a regular file. Its holes stay holes.
func (a *applier) write(dir *os.File, name string, n *image.Inode) (err error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	defer func() { err = errors.Join(err, f.Close()) }()
	var b extent.Builder
	for _, x := range n.Content {
		b.Extent(x)
	}
	m, err := b.Build()
	if err != nil {
		return err
	}
	if err := f.Truncate(m.Size()); err != nil {
		return err
	}
	content := extent.NewReader(a.ctx, m, a.open)
	defer func() { err = errors.Join(err, content.Close()) }()
	for off := int64(0); ; {
		start, end, ok := m.NextData(off)
		if !ok {
			return nil
		}
		if _, err := io.Copy(io.NewOffsetWriter(f, start), io.NewSectionReader(content, start, end-start)); err != nil {
			return err
		}
		off = end
	}
}

// attributes sets the status of a file as the tree has it. The order matters:
// changing the owner takes away capabilities and set-user-ID bits, and an ACL
// has the last word about the mode, as in tar.
func (a *applier) attributes(dir *os.File, name string, n *image.Inode) error {
	fd := int(dir.Fd())
	if !a.NoOwner {
		if err := unix.Fchownat(fd, name, int(n.UID), int(n.GID), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("give it to %d:%d (as a user other than root, leave owners out with --no-same-owner): %w", n.UID, n.GID, err)
		}
	}
	if n.Type() != image.TypeSymlink {
		// fchmodat2, which does not follow links, is newer than Debian 12; what
		// has the name was made or checked just now, and is no link.
		if err := unix.Fchmodat(fd, name, n.Mode&0o7777, 0); err != nil {
			return err
		}
	}
	if err := a.xattrs(dir, name, n); err != nil {
		return err
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: n.ModTime.Sec, Nsec: int64(n.ModTime.Nsec)}}
	return unix.UtimesNanoAt(fd, name, times, unix.AT_SYMLINK_NOFOLLOW)
}

// xattrs sets the extended attributes of a file, and removes others.
func (a *applier) xattrs(dir *os.File, name string, n *image.Inode) error {
	file := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name)
	held, err := listXattrs(file)
	if err != nil {
		return err
	}
	for _, attr := range held {
		// The machine's own security module labels what is made.
		if attr == "security.selinux" {
			continue
		}
		if !slices.ContainsFunc(n.Xattrs, func(x image.Xattr) bool { return x.Name == attr }) {
			if err := unix.Lremovexattr(file, attr); err != nil && !a.NoOwner {
				return fmt.Errorf("remove the attribute %s: %w", attr, err)
			}
		}
	}
	for _, x := range n.Xattrs {
		err := unix.Lsetxattr(file, x.Name, x.Value, 0)
		if err != nil && a.NoOwner {
			a.Warn(name, "the attribute "+x.Name+", left out")
			continue
		}
		if err != nil {
			return fmt.Errorf("set the attribute %s: %w", x.Name, err)
		}
	}
	return nil
}

func listXattrs(file string) ([]string, error) {
	size, err := unix.Llistxattr(file, nil)
	if errors.Is(err, unix.ENOTSUP) || err == nil && size == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list := make([]byte, size)
	if size, err = unix.Llistxattr(file, list); err != nil {
		return nil, err
	}
	return strings.FieldsFunc(string(list[:size]), func(r rune) bool { return r == 0 }), nil
}

// finish sets the status of directories: last, because what is made in them
// changes their times, and the innermost first.
func (a *applier) finish([]diff.Change) error {
	var dirs []string
	for dir := range a.touched {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	for _, dir := range slices.Backward(dirs) {
		n := a.tree.Lookup(dir)
		if n == nil || !n.IsDir() {
			continue // removed
		}
		d, err := a.directory(dir)
		if err != nil {
			return err
		}
		err = a.attributes(d, ".", n)
		d.Close()
		if err != nil {
			return fmt.Errorf("/%s: %w", dir, err)
		}
	}
	return nil
}
