package ext4

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

const diskDigest extent.Digest = "sha256:disk"

// openImage opens the filesystem in a file.
func openImage(t *testing.T, path string) (*image.Tree, convertertest.File, error) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	file := convertertest.File{ReaderAt: f, Length: info.Size()}
	tree, err := Open(f, info.Size(), diskDigest)
	return tree, file, err
}

// listImage returns the listing of the filesystem in a file, which must be sound.
func listImage(t *testing.T, path string) []string {
	t.Helper()
	tree, file, err := openImage(t, path)
	if err != nil {
		t.Fatal(err)
	}
	return convertertest.ListTree(t, tree, file)
}

// must fails the test for an error of the machine.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sampleDir makes a directory with files of every kind that a user may make.
func sampleDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, size int) {
		seed := sha256.Sum256([]byte(name))
		data := bytes.Repeat(seed[:], size/len(seed)+1)[:size]
		must(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), data, 0o640))
	}
	for _, size := range []int{0, 1, 59, 60, 61, 100, 150, 1023, 1024, 4096, 4097, 70000, 1 << 20} {
		write(fmt.Sprintf("sizes/%d", size), size)
	}
	for i := range 300 {
		write(fmt.Sprintf("many/a file with quite a long name, number %04d", i), i%3)
	}
	write("deep/er/and/deeper/file", 10)
	must(t, os.Mkdir(filepath.Join(dir, "empty"), 0o1777))
	sparse := filepath.Join(dir, "sparse")
	must(t, os.WriteFile(sparse, []byte("start"), 0o600))
	f, err := os.OpenFile(sparse, os.O_WRONLY, 0)
	must(t, err)
	for i := range int64(20) {
		_, err = f.WriteAt([]byte("piece"), i*200_000+70_000)
		must(t, err)
	}
	must(t, f.Truncate(9_000_001))
	must(t, f.Close())
	must(t, os.Link(sparse, filepath.Join(dir, "deep/link")))
	for _, n := range []int{1, 59, 60, 61, 155, 1000} {
		must(t, os.Symlink(strings.Repeat("x", n), filepath.Join(dir, fmt.Sprintf("link%d", n))))
	}
	must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o622))
	for name, number := range map[string]uint64{"null": unix.Mkdev(1, 3), "big": unix.Mkdev(300, 70000)} {
		must(t, unix.Mknod(filepath.Join(dir, name), unix.S_IFCHR|0o666, int(number)))
	}
	must(t, unix.Mknod(filepath.Join(dir, "sda"), unix.S_IFBLK|0o660, int(unix.Mkdev(8, 0))))
	for name, size := range map[string]int{"user.short": 5, "trusted.more": 40, "security.long": 600} {
		must(t, unix.Setxattr(filepath.Join(dir, "sizes/100"), name, bytes.Repeat([]byte{7}, size), 0))
	}
	must(t, unix.Setxattr(filepath.Join(dir, "empty"), "system.posix_acl_default", archived(fullACL()), 0))
	must(t, os.Lchown(filepath.Join(dir, "link59"), 70000, 80000))
	must(t, os.Chmod(filepath.Join(dir, "sizes/1"), 0o755|os.ModeSetuid))
	setTimes(t, dir)
	return dir
}

// archived gives an ACL the ids that Linux gives entries that name nobody.
func archived(v []byte) []byte {
	disk, err := diskACL(v)
	if err != nil {
		panic(err)
	}
	if v, err = archiveACL(disk); err != nil {
		panic(err)
	}
	return v
}

// setTimes gives all files times in whole seconds, which is what mke2fs keeps.
func setTimes(t *testing.T, dir string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		ts := unix.NsecToTimespec(time.Unix(1_600_000_000+int64(len(filepath.Base(path))), 0).UnixNano())
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	}))
}

// belowRoot takes the root directory out of a listing: what it has is mke2fs's.
func belowRoot(listing []string) []string {
	return slices.DeleteFunc(listing, func(line string) bool { return strings.HasPrefix(line, "/ ") })
}

// mke2fsDir makes a filesystem of a directory.
func mke2fsDir(t *testing.T, dir string, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fs.img")
	args = append(append([]string{"-q", "-F", "-d", dir}, args...), path, "64M")
	if out, err := run2fs(t, "mke2fs", args...); err != nil {
		t.Fatalf("mke2fs %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return path
}

func TestOpenReadsWhatMke2fsMakes(t *testing.T) {
	dir := sampleDir(t)
	want := belowRoot(convertertest.ListDir(t, dir))
	// mke2fs 1.47.0 loses the end of a sparse file that begins inline.
	dense := sampleDir(t)
	must(t, os.Remove(filepath.Join(dense, "sparse")))
	must(t, os.Remove(filepath.Join(dense, "deep/link")))
	setTimes(t, dense)
	wantDense := belowRoot(convertertest.ListDir(t, dense))
	for name, args := range map[string]string{
		"ext2":               "-t ext2 -b 1024",
		"ext2, 4 KiB":        "-t ext2 -b 4096",
		"ext3":               "-t ext3 -b 2048 -I 256",
		"ext4":               "-t ext4",
		"ext4, 1 KiB":        "-t ext4 -b 1024",
		"64 KiB":             "-t ext4 -b 65536",
		"small inodes":       "-t ext4 -I 128",
		"large inodes":       "-t ext4 -I 1024",
		"no extents":         "-t ext4 -O ^extent,^64bit",
		"inline data":        "-t ext4 -O inline_data -I 256",
		"large inline data":  "-t ext4 -O inline_data -I 1024",
		"meta_bg":            "-t ext4 -b 1024 -O meta_bg,^resize_inode -g 1024",
		"meta_bg, 32 bits":   "-t ext4 -b 1024 -O meta_bg,^resize_inode,^64bit -g 1024",
		"sparse_super2":      "-t ext4 -b 1024 -O sparse_super2,^resize_inode,meta_bg -g 1024",
		"32 bits":            "-t ext4 -O ^64bit",
		"no checksums":       "-t ext4 -O ^metadata_csum",
		"seed of checksums":  "-t ext4 -O metadata_csum_seed",
		"no flex_bg":         "-t ext4 -O ^flex_bg -b 1024",
		"no sparse_super":    "-t ext4 -O ^sparse_super,^resize_inode -b 1024",
		"bigalloc":           "-t ext4 -O bigalloc -C 16384",
		"bigalloc, 1 KiB":    "-t ext4 -O bigalloc -b 1024 -C 8192",
		"no filetype":        "-t ext4 -O ^filetype",
		"large_dir":          "-t ext4 -O large_dir,ea_inode",
		"encrypt, casefold":  "-t ext4 -O encrypt,casefold",
		"project and orphan": "-t ext4 -O project,quota,orphan_file",
	} {
		t.Run(name, func(t *testing.T) {
			dir, want := dir, want
			if strings.Contains(args, "inline_data") {
				dir, want = dense, wantDense
			}
			path := mke2fsDir(t, dir, strings.Fields(args)...)
			convertertest.SameListing(t, belowRoot(listImage(t, path)), want)
		})
	}
}

// mke2fs 1.47 keeps a file in its inode that is one hole, however long, and kernels
// read zeros of it.
func TestOpenReadsHolesInInodes(t *testing.T) {
	dir := t.TempDir()
	for name, size := range map[string]int64{"61": 61, "5000": 5000, "100M": 100 << 20} {
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o644))
		must(t, os.Truncate(filepath.Join(dir, name), size))
	}
	setTimes(t, dir)
	path := mke2fsDir(t, dir, "-t", "ext4", "-O", "inline_data")
	convertertest.SameListing(t, belowRoot(listImage(t, path)), belowRoot(convertertest.ListDir(t, dir)))
}

// What is planned is read again: the tree is the same, and its content are the
// same extents.
func TestOpenReadsWhatIsPlanned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tree := drawTree(t)
		m := mustPlan(t, tree, drawOptions(t))
		sameTree(t, tree, m, patternOpener{})
	})
}

// A real root filesystem comes out of its disk as it went in.
func TestOpenReadsDebianAsPlanned(t *testing.T) {
	tar, err := os.Open("../../.cache/debian.tar")
	if err != nil {
		t.Fatalf("no Debian root filesystem: run make debian (%v)", err)
	}
	defer tar.Close()
	info, err := tar.Stat()
	must(t, err)
	tree, err := image.Merge([]image.Layer{{Digest: "sha256:tar", Tar: tar, Size: info.Size()}})
	must(t, err)
	sameTree(t, tree, mustPlan(t, tree, testOptions()), convertertest.File{ReaderAt: tar, Length: info.Size()})
}

// sameTree opens what was planned of a tree, and compares.
func sameTree(t tester, tree *image.Tree, m *extent.Map, open extent.Opener) {
	t.Helper()
	got, err := Open(extent.NewReader(context.Background(), m, open), m.Size(), diskDigest)
	if err != nil {
		t.Fatalf("%v", err)
	}
	for path, n := range got.Walk() {
		want := tree.Lookup(path)
		if want == nil {
			t.Fatalf("/%s is new", path)
		}
		sameFile(t, path, n, want, m)
	}
	for path := range tree.Walk() {
		if got.Lookup(path) == nil {
			t.Fatalf("/%s is missing", path)
		}
	}
}

// sameFile compares a file of the tree that was read from m with the one that was
// planned.
func sameFile(t tester, path string, got, want *image.Inode, m *extent.Map) {
	g, w := got.Bare(), want.Bare()
	g.Links, w.Links = got.Links, want.Links
	g.Order, w.Order, g.Content, w.Content = 0, 0, nil, nil
	w.Xattrs = slices.SortedFunc(slices.Values(w.Xattrs), func(a, b image.Xattr) int { return strings.Compare(a.Name, b.Name) })
	for i, x := range w.Xattrs {
		if strings.HasPrefix(x.Name, "system.") {
			w.Xattrs[i].Value = archived(x.Value)
		}
	}
	if a, b := fmt.Sprintf("%+v", *g), fmt.Sprintf("%+v", *w); a != b {
		t.Fatalf("/%s:\ngot  %s\nwant %s", path, a, b)
	}
	var a, b extent.Builder
	for _, e := range got.Content {
		if e.Kind == extent.Source {
			a.Slice(m, e.Offset, e.Length)
			continue
		}
		a.Extent(e)
	}
	for _, e := range want.Content {
		b.Extent(e)
	}
	gotMap, errA := a.Build()
	wantMap, errB := b.Build()
	if errA != nil || errB != nil || gotMap.Len() != wantMap.Len() {
		t.Fatalf("/%s: the content differs: %v, %v", path, errA, errB)
	}
	for i := range gotMap.Len() {
		_, g := gotMap.At(i)
		_, w := wantMap.At(i)
		if !g.Equal(w) {
			t.Fatalf("/%s: extent %d is %+v, want %+v", path, i, g, w)
		}
	}
}
