package ext4

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// testing.T and rapid.T as far as the helpers need them.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// testOptions are those that most tests use.
func testOptions() Options {
	return Options{
		UUID:  [16]byte{0x1e, 0x09, 0x83, 0xc2, 0x5d, 0x7f, 0x4a, 0x11, 0x9a, 0x01, 0x77, 0x2b, 0x60, 0xd4, 0x0f, 0x35},
		Label: "ROOT",
		Time:  image.Time{Sec: 1_700_000_000},
	}
}

// patternBlob is a blob of any size, whose content is a function of the offset.
type patternBlob struct{ digest extent.Digest }

func (patternBlob) Size() int64  { return 1 << 50 }
func (patternBlob) Close() error { return nil }

func (b patternBlob) ReadAt(p []byte, off int64) (int, error) {
	for i := range p {
		p[i] = patternByte(b.digest, off+int64(i))
	}
	return len(p), nil
}

// patternByte is never zero, so that a hole in the wrong place shows.
func patternByte(d extent.Digest, off int64) byte {
	x := uint64(off)*0x9E3779B97F4A7C15 + uint64(d[0])
	return byte(x>>56) | 1
}

type patternOpener struct{}

func (patternOpener) OpenBlob(_ context.Context, d extent.Digest) (extent.Blob, error) {
	return patternBlob{d}, nil
}

// tool returns the path of a program that a test needs.
func tool(t tester, name, debianPackage string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	t.Fatalf("this test needs %s: install the Debian package %s", name, debianPackage)
	return ""
}

// run2fs runs a program of e2fsprogs and returns what it printed.
func run2fs(t tester, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(tool(t, name, "e2fsprogs"), args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBUGFS_PAGER=cat", "TZ=UTC")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// mke2fs makes an empty filesystem with the features and parameters that Plan
// gives one.
func mke2fs(t *testing.T, o Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mke2fs.img")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(o.Size); err != nil {
		t.Fatal(err)
	}
	features := "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super," +
		"large_file,huge_file,dir_nlink,extra_isize,metadata_csum"
	if out, err := run2fs(t, "mke2fs", "-q", "-F", "-t", "ext4", "-O", features, "-b", "4096", "-I", "256", "-i", "16384",
		"-m", "0", "-L", o.Label, "-U", uuidText(o.UUID), "-E", "lazy_itable_init=0", path); err != nil {
		t.Fatalf("mke2fs: %v\n%s", err, out)
	}
	return path
}

// mustPlan plans a tree that must be accepted.
func mustPlan(t tester, tree *image.Tree, o Options) *extent.Map {
	t.Helper()
	m, err := Plan(tree, o)
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	return m
}

// writeImage writes the content of a map into a sparse file.
func writeImage(t tester, path string, m *extent.Map) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer f.Close()
	if err := f.Truncate(m.Size()); err != nil {
		t.Fatalf("%v", err)
	}
	r := extent.NewReader(context.Background(), m, patternOpener{})
	defer r.Close()
	for start, end, ok := m.NextData(0); ok; start, end, ok = m.NextData(end) {
		w := io.NewOffsetWriter(f, start)
		if _, err := io.Copy(w, io.NewSectionReader(r, start, end-start)); err != nil {
			t.Fatalf("write %s: %v", path, err)
		}
	}
}

// planImage plans a tree and writes it into a file of its own.
func planImage(t *testing.T, tree *image.Tree, o Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ext4.img")
	writeImage(t, path, mustPlan(t, tree, o))
	return path
}

// mustCheck asserts that e2fsck finds nothing to say.
func mustCheck(t tester, path string) {
	t.Helper()
	if complaints := check(t, path); complaints != "" {
		t.Fatalf("e2fsck -fn:\n%s", complaints)
	}
}

// check returns what e2fsck says about a filesystem besides what it says about
// a clean one. Its exit code is not enough: with -n it is 0 for wrong counts of
// free blocks and wrong checksums of descriptors too.
func check(t tester, path string) string {
	t.Helper()
	out, err := run2fs(t, "e2fsck", "-fn", path)
	var complaints []string
	for line := range strings.Lines(out) {
		version, pass := strings.HasPrefix(line, "e2fsck 1."), strings.HasPrefix(line, "Pass ")
		if !version && !pass && !cleanSummary.MatchString(line) {
			complaints = append(complaints, line)
		}
	}
	if err != nil {
		complaints = append(complaints, err.Error())
	}
	return strings.Join(complaints, "")
}

// cleanSummary is the last line that e2fsck prints.
var cleanSummary = regexp.MustCompile(`^[^:*]+: \d+/\d+ files \([\d.]+% non-contiguous\), \d+/\d+ blocks\n$`)

// readAt returns n bytes of a file at off.
func readAt(t tester, f *os.File, off, n int64) []byte {
	t.Helper()
	p := make([]byte, n)
	if _, err := f.ReadAt(p, off); err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("read %s at %d: %v", f.Name(), off, err)
	}
	return p
}

// Helpers that make trees.

func inlineContent(s string) []extent.Extent {
	if s == "" {
		return nil
	}
	return []extent.Extent{{Kind: extent.Inline, Length: int64(len(s)), Data: []byte(s)}}
}

func sourceExtent(off, n int64) extent.Extent {
	return extent.Extent{Kind: extent.Source, Length: n, Digest: "sha256:pattern", Offset: off}
}

func holeExtent(n int64) extent.Extent { return extent.Extent{Length: n} }

func regular(content ...extent.Extent) *image.Inode {
	return &image.Inode{Mode: image.TypeRegular | 0o644, Content: content}
}

func directoryInode() *image.Inode { return &image.Inode{Mode: image.TypeDir | 0o755} }

func symlink(target string) *image.Inode {
	return &image.Inode{Mode: image.TypeSymlink | 0o777, Target: target}
}

func device(kind, major, minor uint32) *image.Inode {
	return &image.Inode{Mode: kind | 0o600, Major: major, Minor: minor}
}

func withXattrs(n *image.Inode, attrs ...image.Xattr) *image.Inode {
	n.Xattrs = attrs
	return n
}

// treeOf returns a tree of files by path. Directories are made as needed.
func treeOf(files map[string]*image.Inode) *image.Tree {
	tree := image.NewTree()
	for path, file := range files {
		dir := tree.Root
		parts := strings.Split(path, "/")
		for _, name := range parts[:len(parts)-1] {
			next := dir.Lookup(name)
			if next == nil {
				next = directoryInode()
				dir.Link(name, next)
			}
			dir = next
		}
		name := parts[len(parts)-1]
		if old := dir.Link(name, file); old != nil && old.IsDir() {
			for _, below := range old.Names() {
				file.Link(below, old.Lookup(below))
				old.Lookup(below).Links--
			}
		}
	}
	return tree
}

// acl returns an ACL in the form of version 2: tag, permissions and id of each
// entry.
func acl(entries ...[3]uint32) []byte {
	v := binary.LittleEndian.AppendUint32(nil, aclVersion)
	for _, e := range entries {
		v = binary.LittleEndian.AppendUint16(v, uint16(e[0]))
		v = binary.LittleEndian.AppendUint16(v, uint16(e[1]))
		v = binary.LittleEndian.AppendUint32(v, e[2])
	}
	return v
}

// noID is the id of an ACL entry without one, as debugfs gives it back. Linux
// itself says 0xFFFFFFFF.
const noID = 0

// fullACL is an ACL with an entry of every kind.
func fullACL() []byte {
	return acl([3]uint32{aclUserOwner, 6, noID}, [3]uint32{aclUser, 4, 1000}, [3]uint32{aclGroupOwner, 4, noID},
		[3]uint32{aclGroup, 6, 70000}, [3]uint32{aclMask, 6, noID}, [3]uint32{aclOther, 4, noID})
}

// contentBytes returns n bytes of a file's content from off on.
func contentBytes(t tester, n *image.Inode, off, count int64) []byte {
	t.Helper()
	m, err := n.Map()
	if err != nil {
		t.Fatalf("content: %v", err)
	}
	p := make([]byte, count)
	if _, err := extent.NewReader(context.Background(), m, patternOpener{}).ReadAt(p, off); err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("content: %v", err)
	}
	return p
}
