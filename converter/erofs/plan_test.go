package erofs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/formattest"
	"github.com/cloudlets/cloudlets/converter/inventory"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// trees are those that EROFS can hold: all.
var trees = convertertest.Trees{
	Files: 25, FileSize: 512 << 10, Crowds: true, ACLs: true,
	Namespaces: []string{"security.", "trusted.", "user."},
}

func testOptions() Options {
	return Options{UUID: [16]byte{1, 2, 3, 15: 16}, Label: "ROOT", Time: image.Time{Sec: 1_700_000_000}}
}

func mustPlan(t convertertest.TB, tree *image.Tree) *extent.Map {
	t.Helper()
	m, err := Plan(context.Background(), tree, testOptions())
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	return m
}

func writeImage(t convertertest.TB, path string, tree *image.Tree, blobs convertertest.Blobs) {
	t.Helper()
	convertertest.WriteFile(t, mustPlan(t, tree), blobs, path)
}

func file(mode uint32, content string) *image.Inode {
	n := &image.Inode{Mode: image.TypeRegular | mode, ModTime: image.Time{Sec: 1_700_000_000}}
	n.SetContent([]byte(content))
	return n
}

// mustCheck asserts that fsck.erofs finds nothing to say. Its exit status is 0
// whatever it finds, and what it finds is on its standard error.
func mustCheck(t convertertest.TB, args ...string) {
	t.Helper()
	out := convertertest.Run(t, "sh", append([]string{"-c", `exec fsck.erofs -d3 "$@" 2>&1`, "sh"}, args...)...)
	if out != "<I> erofs: No errors found\n" {
		t.Fatalf("fsck.erofs: %s", out)
	}
}

func TestFsckFindsEveryTreeSound(t *testing.T) {
	convertertest.Need(t, "fsck.erofs", "erofs-utils")
	path := filepath.Join(t.TempDir(), "image")
	rapid.Check(t, func(t *rapid.T) {
		blobs := convertertest.Blobs{}
		writeImage(t, path, convertertest.DrawTree(t, blobs, trees), blobs)
		mustCheck(t, path)
	})
}

func TestKernelReadsTheTree(t *testing.T) {
	blobs := convertertest.Blobs{}
	tree := convertertest.DrawExample(trees, blobs)
	path := filepath.Join(t.TempDir(), "image")
	writeImage(t, path, tree, blobs)
	dir := convertertest.Mount(t, path, "erofs")
	convertertest.SameListing(t, convertertest.ListDir(t, dir), convertertest.ListTree(t, tree, blobs))
	for path, n := range tree.Walk() {
		info, err := os.Lstat(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		if links := info.Sys().(*syscall.Stat_t).Nlink; n.IsDir() && links != uint64(2+subdirectories(n)) {
			t.Fatalf("%s has %d links", path, links)
		}
	}
}

func subdirectories(d *image.Inode) (n int) {
	for _, name := range d.Names() {
		if d.Lookup(name).IsDir() {
			n++
		}
	}
	return n
}

// fsck.erofs extracts everything but attributes, devices and the times of links.
func TestFsckExtractsTheContent(t *testing.T) {
	convertertest.Need(t, "fsck.erofs", "erofs-utils")
	blobs := convertertest.Blobs{}
	only := trees
	only.Namespaces, only.ACLs, only.Seconds = nil, false, true
	tree := convertertest.DrawExample(only, blobs)
	path, out := filepath.Join(t.TempDir(), "image"), filepath.Join(t.TempDir(), "out")
	writeImage(t, path, tree, blobs)
	convertertest.Run(t, "fsck.erofs", "--extract="+out, "--no-preserve", path)
	for name, n := range tree.Walk() {
		if !n.IsRegular() {
			continue
		}
		got, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		m, err := n.Map()
		if err != nil || !bytes.Equal(got, convertertest.Bytes(t, m, blobs)) {
			t.Fatalf("%s was extracted with other content: %v", name, err)
		}
	}
}

// Sorting and the search for the block that has a name must agree.
func TestKernelFindsNamesInLongDirectories(t *testing.T) {
	name := func(i int) string { return fmt.Sprintf("%s%05d", strings.Repeat("!", i%100), i) } // sorts before "."
	formattest.CheckLongDirectory(t, name, func(tree *image.Tree) string {
		path := filepath.Join(t.TempDir(), "image")
		writeImage(t, path, tree, nil)
		return convertertest.Mount(t, path, "erofs")
	})
}

func TestDumpShowsTheOptions(t *testing.T) {
	convertertest.Need(t, "dump.erofs", "erofs-utils")
	tree := image.NewTree()
	tree.Root.Link("f", file(0o644, "x"))
	path := filepath.Join(t.TempDir(), "image")
	writeImage(t, path, tree, nil)
	out := convertertest.Run(t, "dump.erofs", "-s", path)
	for _, want := range []string{
		"Filesystem blocks:                            3\n", "inode count:                       2\n",
		"created:                           Tue Nov 14 22:13:20 2023\n", "features:                          sb_csum mtime \n",
		"UUID:                              01020300-0000-0000-0000-000000000010",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("dump.erofs lacks %q:\n%s", want, out)
		}
	}
	label := convertertest.Run(t, "blkid", "-o", "value", "-s", "LABEL", path)
	if label != "ROOT\n" {
		t.Errorf("label %q", label)
	}
}

func TestSharedAttributesStandOnce(t *testing.T) {
	tree := image.NewTree()
	value := bytes.Repeat([]byte("label "), 100)
	for i := range 500 {
		n := file(0o644, "")
		n.Xattrs = []image.Xattr{{Name: "security.selinux", Value: value}}
		tree.Root.Link(fmt.Sprint(i), n)
	}
	m := mustPlan(t, tree)
	if n := bytes.Count(convertertest.Bytes(t, m, nil), value); n != 1 {
		t.Fatalf("the value stands %d times", n)
	}
}

func TestContentIsReferencedInItsOrder(t *testing.T) {
	tree := image.NewTree()
	for i := range 50 {
		n := file(0o644, "")
		n.Order = int64(-i)
		n.Content = []extent.Extent{{Kind: extent.Source, Digest: "sha256:layer", Offset: int64(50-i) << 20, Length: 300_001}}
		tree.Root.Link(fmt.Sprint(i), n)
	}
	m := mustPlan(t, tree)
	var last, total int64
	for at, e := range m.All() {
		if e.Kind != extent.Source {
			continue
		}
		if e.Offset <= last || at%blockSize != 0 {
			t.Fatalf("offset %d comes after %d, at %d", e.Offset, last, at)
		}
		last = e.Offset
		total += e.Length
	}
	if total != 50*300_001 || m.InlineSize() > 16<<10 {
		t.Fatalf("%d bytes of content are referenced and %d are inline", total, m.InlineSize())
	}
}

func TestEqualInputGivesEqualBytes(t *testing.T) {
	blobs := convertertest.Blobs{}
	tree := convertertest.DrawExample(trees, blobs)
	if !bytes.Equal(mustPlan(t, tree).Encode(), mustPlan(t, tree).Encode()) {
		t.Fatal("two plans of one tree differ")
	}
}

func TestPlanRefusesWhatErofsCannotHold(t *testing.T) {
	with := func(a image.Xattr, n int) *image.Inode {
		f := file(0, "")
		for i := range n {
			f.Xattrs = append(f.Xattrs, image.Xattr{Name: a.Name + strings.Repeat("x", i), Value: a.Value})
		}
		return f
	}
	big := file(0o644, "")
	big.Content = []extent.Extent{{Length: maxSize}}
	for name, n := range map[string]*image.Inode{
		"a long link":           {Mode: image.TypeSymlink, Target: strings.Repeat("t", 4096)},
		"a high device":         {Mode: image.TypeChar, Minor: maxMinor + 1},
		"a huge file":           big,
		"a foreign attribute":   with(image.Xattr{Name: "system.nfs4_acl"}, 1),
		"an attribute of none":  with(image.Xattr{Name: "user."}, 1),
		"more than an ACL":      with(image.Xattr{Name: "system.posix_acl_access2"}, 1),
		"a long attribute":      with(image.Xattr{Name: "user.x", Value: make([]byte, 1<<16)}, 1),
		"attributes of 300 KiB": with(image.Xattr{Name: "user.x", Value: make([]byte, 60_000)}, 5),
	} {
		t.Run(name, func(t *testing.T) {
			tree := image.NewTree()
			tree.Root.Link("sub", n)
			_, err := Plan(t.Context(), tree, testOptions())
			if !errors.Is(err, inventory.ErrTree) || !strings.Contains(err.Error(), "plan EROFS: /sub: ") {
				t.Fatalf("error %v, want one that names the path and wraps ErrTree", err)
			}
		})
	}
}

func TestPlanRefusesBadOptions(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"no UUID":    func(o *Options) { o.UUID = [16]byte{} },
		"long label": func(o *Options) { o.Label = strings.Repeat("l", 17) },
		"time":       func(o *Options) { o.Time.Nsec = 1e9 },
	} {
		o := testOptions()
		change(&o)
		if _, err := Plan(t.Context(), image.NewTree(), o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
