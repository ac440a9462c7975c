package convertertest

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Extract makes the files of a tree in a directory, as only root can.
func Extract(t TB, tree *image.Tree, open extent.Opener, dir string) {
	t.Helper()
	first := make(map[*image.Inode]string)
	var dirs []func() error // what is set when nothing is made in them any more
	for path, n := range tree.Walk() {
		name := filepath.Join(dir, path)
		if other := first[n]; other != "" {
			if err := os.Link(other, name); err != nil {
				t.Fatalf("%v", err)
			}
			continue
		}
		first[n] = name
		if err := makeFile(t, n, open, name); err != nil {
			t.Fatalf("make %s: %v", name, err)
		}
		dirs = append(dirs, func() error { return setAttributes(n, name) })
	}
	for i := len(dirs) - 1; i >= 0; i-- {
		if err := dirs[i](); err != nil {
			t.Fatalf("%v", err)
		}
	}
}

func makeFile(t TB, n *image.Inode, open extent.Opener, name string) error {
	switch n.Type() {
	case image.TypeDir:
		return os.MkdirAll(name, 0o755)
	case image.TypeSymlink:
		return os.Symlink(n.Target, name)
	case image.TypeRegular:
		m, err := n.Map()
		if err != nil {
			return err
		}
		WriteFile(t, m, open, name)
		return nil
	}
	return unix.Mknod(name, n.Mode, int(unix.Mkdev(n.Major, n.Minor)))
}

// setAttributes sets what a file has besides its content, the time last.
func setAttributes(n *image.Inode, name string) error {
	if err := os.Lchown(name, int(n.UID), int(n.GID)); err != nil {
		return err
	}
	if n.Type() != image.TypeSymlink {
		if err := unix.Chmod(name, n.Mode&0o7777); err != nil {
			return err
		}
	}
	for _, x := range n.Xattrs {
		if err := unix.Lsetxattr(name, x.Name, x.Value, 0); err != nil {
			return fmt.Errorf("attribute %s of %s: %w", x.Name, name, err)
		}
	}
	at := unix.Timespec{Sec: n.ModTime.Sec, Nsec: int64(n.ModTime.Nsec)}
	return unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
}
