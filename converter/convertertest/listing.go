package convertertest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// A listing of a tree has one line for each name in it, sorted: path, mode,
// owner, time, what the type needs — size and SHA-256, target or device numbers —
// attributes, and for one of several names of a file how many there are and the
// first of them.

// ListTree returns the listing of a tree, whose blobs open gives.
func ListTree(t TB, tree *image.Tree, open extent.Opener) []string {
	t.Helper()
	var lines []string
	first := make(map[*image.Inode]string)
	for path, n := range tree.Walk() {
		line := fmt.Sprintf("/%s %06o %d:%d %d.%09d", path, n.Mode, n.UID, n.GID, n.ModTime.Sec, n.ModTime.Nsec)
		switch n.Type() {
		case image.TypeRegular:
			line += contentOf(t, n, open)
		case image.TypeSymlink:
			line += " -> " + n.Target
		case image.TypeChar, image.TypeBlock:
			line += fmt.Sprintf(" %d,%d", n.Major, n.Minor)
		}
		for _, x := range n.Xattrs {
			line += fmt.Sprintf(" %s=%x", x.Name, x.Value)
		}
		if n.Links > 1 && !n.IsDir() {
			if first[n] == "" {
				first[n] = "/" + path
			}
			line += fmt.Sprintf(" %d names of %s", n.Links, first[n])
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

func contentOf(t TB, n *image.Inode, open extent.Opener) string {
	t.Helper()
	m, err := n.Map()
	if err != nil {
		t.Fatalf("content: %v", err)
	}
	r := extent.NewReader(context.Background(), m, open)
	defer r.Close()
	sum := sha256.New()
	if _, err := r.WriteTo(sum); err != nil {
		t.Fatalf("read content: %v", err)
	}
	return fmt.Sprintf(" %d %x", m.Size(), sum.Sum(nil))
}

// ListDir returns the listing of a directory, as root sees it.
func ListDir(t TB, dir string) []string {
	t.Helper()
	var lines []string
	first := make(map[uint64]string)
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		line, err := listFile(path, "/"+strings.TrimPrefix(strings.TrimPrefix(path, dir), "/"), first)
		lines = append(lines, line)
		return err
	})
	if err != nil {
		t.Fatalf("list %s: %v", dir, err)
	}
	slices.Sort(lines)
	return lines
}

func listFile(path, name string, first map[uint64]string) (string, error) {
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		return "", err
	}
	line := fmt.Sprintf("%s %06o %d:%d %d.%09d", name, st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
	switch st.Mode & image.TypeMask {
	case image.TypeRegular:
		sum, err := hashFile(path)
		if err != nil {
			return "", err
		}
		line += fmt.Sprintf(" %d %x", st.Size, sum)
	case image.TypeSymlink:
		target, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		line += " -> " + target
	case image.TypeChar, image.TypeBlock:
		line += fmt.Sprintf(" %d,%d", st.Rdev>>8&0xfff, st.Rdev&0xff|st.Rdev>>12&0xfff00)
	}
	xattrs, err := listXattrs(path)
	if err != nil {
		return "", err
	}
	line += xattrs
	if st.Nlink > 1 && st.Mode&image.TypeMask != image.TypeDir {
		if first[st.Ino] == "" {
			first[st.Ino] = name
		}
		line += fmt.Sprintf(" %d names of %s", st.Nlink, first[st.Ino])
	}
	return line, nil
}

func hashFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return nil, err
	}
	return sum.Sum(nil), nil
}

// listXattrs lists attributes as in a listing, sorted by name.
func listXattrs(path string) (string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, buf)
	if err != nil && !errors.Is(err, unix.ENOTSUP) { // squashfs and EROFS where no file has any
		return "", fmt.Errorf("list attributes of %s: %w", path, err)
	}
	names := strings.Split(strings.TrimSuffix(string(buf[:max(n, 0)]), "\x00"), "\x00")
	slices.Sort(names)
	var line strings.Builder
	for _, name := range names {
		if name == "" {
			continue
		}
		n, err := unix.Lgetxattr(path, name, buf)
		if err != nil {
			return "", fmt.Errorf("attribute %s of %s: %w", name, path, err)
		}
		fmt.Fprintf(&line, " %s=%x", name, buf[:n])
	}
	return line.String(), nil
}

// SameListing fails the test unless two listings are the same, and shows where
// they differ.
func SameListing(t TB, got, want []string) {
	t.Helper()
	const shown = 10
	var diff []string
	for len(got)+len(want) > 0 && len(diff) < shown {
		switch {
		case len(want) == 0 || len(got) > 0 && got[0] < want[0]:
			diff, got = append(diff, "got  "+shorten(got[0])), got[1:]
		case len(got) == 0 || got[0] > want[0]:
			diff, want = append(diff, "want "+shorten(want[0])), want[1:]
		default:
			got, want = got[1:], want[1:]
		}
	}
	if len(diff) > 0 {
		t.Fatalf("the trees differ:\n%s", strings.Join(diff, "\n"))
	}
}

func shorten(line string) string {
	const most = 600
	return line[:min(len(line), most)]
}
