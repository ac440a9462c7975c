package squashfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/formattest"
	"github.com/cloudlets/cloudlets/converter/inventory"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// trees are those that squashfs can hold.
var trees = convertertest.Trees{
	Files: 25, FileSize: 512 << 10, Seconds: true, Crowds: true,
	Namespaces: []string{"security.", "trusted.", "user."},
}

func mustPlan(t convertertest.TB, tree *image.Tree, o Options) *extent.Map {
	t.Helper()
	m, err := Plan(t.(interface{ Context() context.Context }).Context(), tree, o)
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	return m
}

// writeImage plans a tree and writes it to a file.
func writeImage(t convertertest.TB, path string, tree *image.Tree, o Options, blobs convertertest.Blobs) {
	t.Helper()
	convertertest.WriteFile(t, mustPlan(t, tree, o), blobs, path)
}

func file(mode uint32, content string) *image.Inode {
	n := &image.Inode{Mode: image.TypeRegular | mode, ModTime: image.Time{Sec: 1_700_000_000}}
	n.SetContent([]byte(content))
	return n
}

func TestUnsquashfsExtractsEveryTree(t *testing.T) {
	convertertest.Need(t, "unsquashfs", "squashfs-tools")
	asRoot(t)
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		blobs := convertertest.Blobs{}
		tree := convertertest.DrawTree(t, blobs, trees)
		path, out := filepath.Join(dir, "image"), filepath.Join(dir, "out")
		writeImage(t, path, tree, Options{BlockSize: 1 << rapid.IntRange(minBlockLog, maxBlockLog).Draw(t, "block size")}, blobs)
		defer os.RemoveAll(out)
		convertertest.Run(t, "unsquashfs", "-quiet", "-no-progress", "-strict-errors", "-dest", out, path)
		convertertest.SameListing(t, convertertest.ListDir(t, out), convertertest.ListTree(t, tree, blobs))
	})
}

// asRoot skips a test that gives files to other users.
func asRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("extracting what root owns takes root")
	}
}

// The kernel reads what unsquashfs reads; both find files by name in long
// directories, which takes their indexes.
func TestKernelReadsTheTree(t *testing.T) {
	blobs := convertertest.Blobs{}
	tree := convertertest.DrawExample(trees, blobs)
	path := filepath.Join(t.TempDir(), "image")
	writeImage(t, path, tree, Options{}, blobs)
	dir := convertertest.Mount(t, path, "squashfs")
	convertertest.SameListing(t, convertertest.ListDir(t, dir), convertertest.ListTree(t, tree, blobs))
}

// An index leads to the metadata block that a name is in: without one, and with
// a wrong one, the kernel does not find it.
func TestKernelFindsNamesInLongDirectories(t *testing.T) {
	name := func(i int) string { return fmt.Sprintf("%s%05d", strings.Repeat("n", i%100), i) }
	formattest.CheckLongDirectory(t, name, func(tree *image.Tree) string {
		path := filepath.Join(t.TempDir(), "image")
		writeImage(t, path, tree, Options{}, nil)
		return convertertest.Mount(t, path, "squashfs")
	})
}

// NFS servers name files by inode number, which the export table resolves.
func TestKernelFindsFilesByNumber(t *testing.T) {
	tree := image.NewTree()
	below := &image.Inode{Mode: image.TypeDir | 0o755}
	tree.Root.Link("below", below)
	for i := range 3000 {
		below.Link(fmt.Sprint(i), file(0o644, fmt.Sprint("content ", i)))
	}
	path := filepath.Join(t.TempDir(), "image")
	writeImage(t, path, tree, Options{}, nil)
	dir := convertertest.Mount(t, path, "squashfs")
	mount, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer mount.Close()
	for _, i := range []int{0, 1500, 2999} {
		handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, filepath.Join(dir, "below", fmt.Sprint(i)), 0)
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.OpenByHandleAt(int(mount.Fd()), handle, unix.O_RDONLY)
		if err != nil {
			t.Fatalf("file %d: %v", i, err)
		}
		f := os.NewFile(uintptr(fd), "by handle")
		got, err := io.ReadAll(f)
		f.Close()
		if err != nil || string(got) != fmt.Sprint("content ", i) {
			t.Fatalf("file %d holds %q: %v", i, got, err)
		}
	}
}

// Files that start past 4 GiB, and files that are longer, have other inodes.
func TestLargeFilesAndHoles(t *testing.T) {
	const gib = 1 << 30
	blobs := convertertest.Blobs{}
	pattern := bytes.Repeat([]byte("pattern "), 1<<17)
	digest := blobs.Add(pattern)
	data := extent.Extent{Kind: extent.Source, Digest: digest, Length: int64(len(pattern))}
	tree := image.NewTree()
	large := file(0o644, "")
	for range 3 * gib / len(pattern) {
		large.Content = append(large.Content, data)
	}
	again, sparse := file(0o644, ""), file(0o644, "")
	again.Content = large.Content
	again.Order = 1
	sparse.Content = []extent.Extent{{Length: 20*gib + 5}, data, {Length: gib}}
	sparse.Order = 2
	late := file(0o600, "late")
	late.Order = 3
	tree.Root.Link("large", large)
	tree.Root.Link("again", again)
	tree.Root.Link("sparse", sparse)
	tree.Root.Link("late", late)
	m := mustPlan(t, tree, Options{})
	if m.Size() > 6*gib+8<<20 || m.InlineSize() > 1<<20 {
		t.Fatalf("the image has %d bytes, of which %d are its own", m.Size(), m.InlineSize())
	}
	path := filepath.Join(t.TempDir(), "image")
	convertertest.WriteFile(t, sparsely(t, m, digest), blobs, path)
	dir := convertertest.Mount(t, path, "squashfs")
	if got, err := os.ReadFile(filepath.Join(dir, "late")); err != nil || string(got) != "late" {
		t.Fatalf("late holds %q: %v", got, err)
	}
	f, err := os.Open(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil || stat.Size != 21*gib+5+data.Length || stat.Blocks*512 > 2<<20 {
		t.Fatalf("sparse has %d bytes in %d sectors: %v", stat.Size, stat.Blocks, err)
	}
	got := make([]byte, len(pattern)+20)
	if _, err := f.ReadAt(got, 20*gib-5); err != nil || !bytes.Equal(got, slices.Concat(make([]byte, 10), pattern, make([]byte, 10))) {
		t.Fatalf("sparse does not hold the pattern where it should: %v", err)
	}
}

// sparsely returns a map whose first 6 GiB, but a little, are a hole.
func sparsely(t *testing.T, m *extent.Map, digest extent.Digest) *extent.Map {
	t.Helper()
	var b extent.Builder
	for at, e := range m.All() {
		if e.Digest == digest && at > superblockSize && at < 6<<30-1 {
			e = extent.Extent{Length: e.Length}
		}
		b.Extent(e)
	}
	hollow, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return hollow
}

func TestContentIsReferencedInItsOrder(t *testing.T) {
	tree := image.NewTree()
	for i := range 50 {
		n := file(0o644, "")
		n.Order = int64(-i)
		n.Content = []extent.Extent{{Kind: extent.Source, Digest: "sha256:layer", Offset: int64(50-i) << 20, Length: 300_001}}
		tree.Root.Link(fmt.Sprint(i), n)
	}
	m := mustPlan(t, tree, Options{})
	var last, total int64
	for _, e := range m.All() {
		if e.Kind != extent.Source {
			continue
		}
		if e.Offset <= last {
			t.Fatalf("offset %d comes after %d", e.Offset, last)
		}
		last = e.Offset
		total += e.Length
	}
	if total != 50*300_001 || m.InlineSize() > 8<<10 {
		t.Fatalf("%d bytes of content are referenced and %d are inline", total, m.InlineSize())
	}
}

func TestEqualInputGivesEqualBytes(t *testing.T) {
	blobs := convertertest.Blobs{}
	tree := convertertest.DrawExample(trees, blobs)
	first := convertertest.Bytes(t, mustPlan(t, tree, Options{}), blobs)
	second := convertertest.Bytes(t, mustPlan(t, tree, Options{}), blobs)
	if !bytes.Equal(first, second) {
		t.Fatal("two plans of one tree differ")
	}
}

func TestAttributesWithoutAFormAreRefusedOrReported(t *testing.T) {
	tree := image.NewTree()
	n := file(0o644, "x")
	n.Xattrs = []image.Xattr{{Name: "system.posix_acl_access", Value: []byte{2, 0, 0, 0}}, {Name: "user.kept", Value: []byte("v")}}
	tree.Root.Link("acl", n)
	_, err := Plan(t.Context(), tree, Options{})
	if !errors.Is(err, inventory.ErrTree) || !strings.Contains(err.Error(), `/acl: extended attribute "system.posix_acl_access"`) {
		t.Fatalf("error %v", err)
	}
	var dropped []string
	m := mustPlan(t, tree, Options{Dropped: func(path, name string) { dropped = append(dropped, path+" "+name) }})
	if !slices.Equal(dropped, []string{"/acl system.posix_acl_access"}) {
		t.Fatalf("dropped %q", dropped)
	}
	if !bytes.Contains(convertertest.Bytes(t, m, nil), []byte("kept")) {
		t.Fatal("the attribute user.kept is gone too")
	}
}

func TestPlanRefusesWhatSquashfsCannotHold(t *testing.T) {
	twice := &image.Inode{Mode: image.TypeDir | 0o755}
	big := file(0o644, "")
	big.Content = []extent.Extent{{Length: 1 << 50}}
	attr := file(0o644, "")
	attr.Xattrs = []image.Xattr{{Name: "user.x", Value: make([]byte, 64<<10+1)}}
	for name, files := range map[string]map[string]*image.Inode{
		"a long name":       {strings.Repeat("n", 256): file(0, "")},
		"a name with /":     {"a/b": file(0, "")},
		"a dot":             {".": file(0, "")},
		"a directory twice": {"a": twice, "b": twice},
		"no type":           {"a": {Mode: 0o644}},
		"an empty link":     {"a": {Mode: image.TypeSymlink}},
		"a long link":       {"a": {Mode: image.TypeSymlink, Target: strings.Repeat("t", 4096)}},
		"a high device":     {"a": {Mode: image.TypeChar, Major: maxMajor + 1}},
		"a huge file":       {"a": big},
		"a long attribute":  {"a": attr},
	} {
		t.Run(name, func(t *testing.T) {
			tree := image.NewTree()
			for name, n := range files {
				tree.Root.Link(name, n)
			}
			if _, err := Plan(t.Context(), tree, Options{}); !errors.Is(err, inventory.ErrTree) || !strings.Contains(err.Error(), "plan squashfs: /") {
				t.Fatalf("error %v, want one that names the path and wraps ErrTree", err)
			}
		})
	}
}

func TestPlanRefusesManyOwners(t *testing.T) {
	tree := image.NewTree()
	for i := range uint32(maxIDs/2 + 2) {
		tree.Root.Link(fmt.Sprint(i), &image.Inode{Mode: image.TypeRegular, UID: 2*i + 1, GID: 2*i + 2})
	}
	if _, err := Plan(t.Context(), tree, Options{}); !errors.Is(err, inventory.ErrTree) {
		t.Fatalf("error %v", err)
	}
}

func TestPlanRefusesBadOptions(t *testing.T) {
	for _, size := range []int{-4096, 1, 2048, 4097, 2 << 20} {
		if _, err := Plan(t.Context(), image.NewTree(), Options{BlockSize: size}); !errors.Is(err, ErrOptions) {
			t.Errorf("block size %d: error %v", size, err)
		}
	}
}
