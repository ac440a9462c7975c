package workdir

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/diff"
	"github.com/cloudlets/cloudlets/image/tarball"
)

// dirTree is the tree of a directory.
type dirTree struct {
	*image.Tree
	content extent.Blob
	dir     *tarball.Dir
}

func (d dirTree) OpenBlob(context.Context, extent.Digest) (extent.Blob, error) { return d.content, nil }

func readDir(t testing.TB, path string) dirTree {
	t.Helper()
	dir, err := tarball.OpenDir(t.Context(), path, func(path, what string) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	content := extent.NewReader(t.Context(), dir.Map, dir)
	tree, err := image.Merge([]image.Layer{{Digest: "dir", Tar: content, Size: content.Size()}})
	if err != nil {
		t.Fatal(err)
	}
	return dirTree{tree, content, dir}
}

func (d dirTree) text(n *image.Inode) string {
	var all []byte
	for _, x := range n.Content {
		p := make([]byte, x.Length)
		switch x.Kind {
		case extent.Inline:
			copy(p, x.Data)
		case extent.Source:
			_, _ = d.content.ReadAt(p, x.Offset)
		}
		all = append(all, p...)
	}
	return string(all)
}

// drawTree makes a tree of few names, of files of all kinds that need no rights.
func drawTree(t *rapid.T, label string) *image.Tree {
	tree := image.NewTree()
	own := image.Inode{UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), ModTime: image.Time{Sec: 1e9, Nsec: 5}}
	root := own
	root.Mode = image.TypeDir | 0o755
	tree.Root.Mode, tree.Root.UID, tree.Root.GID, tree.Root.ModTime = root.Mode, root.UID, root.GID, root.ModTime
	dirs := []*image.Inode{tree.Root}
	var files []*image.Inode
	for i := range rapid.IntRange(0, 12).Draw(t, label+" files") {
		what := fmt.Sprintf("%s %d ", label, i)
		dir := rapid.SampledFrom(dirs).Draw(t, what+"directory")
		name := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, what+"name")
		if dir.Lookup(name) != nil {
			continue
		}
		n := new(image.Inode)
		*n = own
		perm := rapid.SampledFrom([]uint32{0o644, 0o4755, 0o1777}).Draw(t, what+"mode")
		switch rapid.IntRange(0, 4).Draw(t, what+"type") {
		case 0:
			n.Mode = image.TypeDir | perm | 0o700
			dirs = append(dirs, n)
		case 1:
			n.Mode, n.Target = image.TypeSymlink|0o777, "/etc/"+name
		case 2:
			n.Mode = image.TypeFIFO | perm
		case 3:
			if len(files) > 0 {
				n = rapid.SampledFrom(files).Draw(t, what+"linked")
				break
			}
			fallthrough
		default:
			n.Mode = image.TypeRegular | perm
			if c := rapid.SampledFrom([]string{"", "x", "y", "longer"}).Draw(t, what+"content"); c != "" {
				n.Content = []extent.Extent{{Kind: extent.Inline, Length: int64(len(c)), Data: []byte(c)}}
			}
			if rapid.Bool().Draw(t, what+"attribute") {
				n.Xattrs = []image.Xattr{{Name: "user.note", Value: []byte(name)}}
			}
			files = append(files, n)
		}
		dir.Link(name, n)
	}
	tree.Sort()
	return tree
}

func TestADirectoryBecomesTheTree(t *testing.T) {
	base := t.TempDir()
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		dir := filepath.Join(base, fmt.Sprint(runs))
		if err := os.Mkdir(dir, 0o755); err != nil {
			rt.Fatal(err)
		}
		for i := range 3 {
			want := drawTree(rt, fmt.Sprint("tree ", i))
			was := readDir(t, dir)
			same := func(a, b *image.Inode) (bool, error) { return was.text(a) == was.text(b), nil }
			changes, err := diff.Trees(was.Tree, want, same)
			if err != nil {
				rt.Fatal(err)
			}
			if err := Apply(t.Context(), dir, want, changes, nil, Options{}); err != nil {
				rt.Fatal(err)
			}
			is := readDir(t, dir)
			left, err := diff.Trees(is.Tree, want, func(a, b *image.Inode) (bool, error) { return is.text(a) == is.text(b), nil })
			if err != nil {
				rt.Fatal(err)
			}
			for _, c := range left {
				rt.Errorf("/%s: added %v, removed %v, %s", c.Path, c.Added(), c.Removed(), c.Aspects)
			}
		}
	})
}

func TestNothingOutsideIsTouched(t *testing.T) {
	outside := t.TempDir()
	dir := t.TempDir()
	tree := image.NewTree()
	sub := &image.Inode{Mode: image.TypeDir | 0o755}
	tree.Root.Link("sub", sub)
	sub.Link("file", &image.Inode{Mode: image.TypeRegular | 0o644})
	changes, err := diff.Trees(tree, tree, nil)
	if err != nil || len(changes) > 0 {
		t.Fatal(changes, err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "sub")); err != nil {
		t.Fatal(err)
	}
	changes = []diff.Change{{Path: "sub/file", New: sub.Lookup("file")}}
	if err := Apply(t.Context(), dir, tree, changes, nil, Options{NoOwner: true}); err == nil {
		t.Error("a link to the outside was followed")
	}
	if entries, _ := os.ReadDir(outside); len(entries) > 0 {
		t.Errorf("outside is now %v", entries)
	}
}

func TestAFingerprintSeesEveryChange(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "d", "file")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("a"), 0o644); err != nil {
		t.Fatal(err)
	}
	take := func() Fingerprint {
		f, err := Take(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	old := time.Unix(1e9, 0)
	last := take()
	if again := take(); again != last {
		t.Fatal("two fingerprints of the same differ")
	}
	for name, change := range map[string]func() error{
		"content, with its old time": func() error {
			time.Sleep(20 * time.Millisecond) // more than a clock tick
			if err := os.WriteFile(file, []byte("b"), 0o644); err != nil {
				return err
			}
			return os.Chtimes(file, old, old)
		},
		"mode":      func() error { return os.Chmod(file, 0o600) },
		"attribute": func() error { time.Sleep(20 * time.Millisecond); return unix.Setxattr(file, "user.x", []byte("y"), 0) },
		"new file":  func() error { return os.Symlink("x", filepath.Join(dir, "d", "link")) },
		"name":      func() error { return os.Rename(file, file+"2") },
	} {
		if err := change(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		now := take()
		if now.Sum == last.Sum {
			t.Errorf("a change of the %s was not seen", name)
		}
		last = now
		if name == "name" {
			if err := os.Rename(file+"2", file); err != nil {
				t.Fatal(err)
			}
			last = take()
		}
	}
	if last.Settled(time.Now()) || !last.Settled(time.Now().Add(time.Hour)) {
		t.Error("what was changed just now is settled, or never is")
	}
}
