package formattest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// ReadFiles reads the start of every file of a filesystem that was opened from
// file as [Source].
func ReadFiles(fs *container.Filesystem, file []byte) error {
	blobs := fs.Blobs(Source, convertertest.Blob(file))
	var errs []error
	for _, n := range fs.Tree.Walk() {
		errs = append(errs, readStart(n, blobs))
	}
	return errors.Join(errs...)
}

// readStart reads the start of a file.
func readStart(n *image.Inode, open extent.Opener) error {
	m, err := n.Map()
	if err != nil {
		return err
	}
	r := extent.NewReader(context.Background(), m, open)
	_, err = r.ReadAt(make([]byte, min(m.Size(), 16<<10)), 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, r.Close())
}

// OpenHostile opens foreign bytes as a filesystem: that must give an error of one
// of the two kinds, or a tree. It returns why files of the tree cannot be read.
// what was done to the bytes is for messages.
func OpenHostile(t testing.TB, what string, data []byte, open func(r io.ReaderAt, size int64, source extent.Digest) (*container.Filesystem, error)) error {
	t.Helper()
	fs, err := open(bytes.NewReader(data), int64(len(data)), Source)
	if err == nil {
		return ReadFiles(fs, data)
	}
	if !errors.Is(err, container.ErrFormat) && !errors.Is(err, container.ErrUnsupported) {
		t.Fatalf("%s: an error of neither kind: %v", what, err)
	}
	return nil
}

// SmallTree returns a tree with files of most kinds, and a directory in it for
// more.
func SmallTree() (tree *image.Tree, more *image.Inode) {
	tree = image.NewTree()
	a, b := &image.Inode{Mode: image.TypeDir | 0o755}, &image.Inode{Mode: image.TypeDir | 0o700}
	tree.Root.Link("dirA", a)
	a.Link("dirB", b)
	regular := &image.Inode{Mode: image.TypeRegular | 0o644, ModTime: image.Time{Sec: 1_700_000_000}}
	regular.SetContent([]byte("the content"))
	b.Link("regular", regular)
	b.Link("again", regular)
	a.Link("link", &image.Inode{Mode: image.TypeSymlink | 0o777, Target: "dirB/regular"})
	a.Link("null", &image.Inode{Mode: image.TypeChar | 0o666, Major: 1, Minor: 3, UID: 7})
	a.Link("pipe", &image.Inode{Mode: image.TypeFIFO | 0o666})
	return tree, b
}

// CheckLongDirectory has the kernel find 20,000 files by name in one directory,
// which takes a filesystem's indexes. name gives the names, mount mounts a tree.
func CheckLongDirectory(t *testing.T, name func(i int) string, mount func(tree *image.Tree) (dir string)) {
	t.Helper()
	const files = 20_000
	tree := image.NewTree()
	for i := range files {
		n := &image.Inode{Mode: image.TypeRegular | 0o644}
		n.SetContent([]byte(strconv.Itoa(i)))
		tree.Root.Link(name(i), n)
	}
	dir := mount(tree)
	for i := 0; i < files; i += 37 {
		got, err := os.ReadFile(filepath.Join(dir, name(i)))
		if err != nil || string(got) != strconv.Itoa(i) {
			t.Fatalf("file %d holds %q: %v", i, got, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != files {
		t.Fatalf("%d entries: %v", len(entries), err)
	}
}
