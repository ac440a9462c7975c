package iso9660

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/tarball"
)

// contents is a tree and the blobs it refers to.
type contents struct {
	tree  *image.Tree
	blobs convertertest.Blobs
	// byContent says that files are known to be one by their content alone, as
	// libarchive knows them.
	byContent bool
}

// regular returns a file whose content is a blob.
func (c contents) regular(content string) *image.Inode {
	n := &image.Inode{Mode: image.TypeRegular | 0o644}
	if content != "" {
		d := c.blobs.Add([]byte(content))
		n.Content = []extent.Extent{{Kind: extent.Source, Length: int64(len(content)), Digest: d}}
	}
	return n
}

func newContents() contents {
	return contents{tree: image.NewTree(), blobs: convertertest.Blobs{}}
}

// put links a file at a path and makes the directories it needs.
func (c contents) put(path string, n *image.Inode) {
	dir := c.tree.Root
	parts := strings.Split(path, "/")
	for _, name := range parts[:len(parts)-1] {
		if dir.Lookup(name) == nil {
			dir.Link(name, directoryInode())
		}
		dir = dir.Lookup(name)
	}
	dir.Link(parts[len(parts)-1], n)
}

func directoryInode() *image.Inode { return &image.Inode{Mode: image.TypeDir | 0o755} }

func symlink(target string) *image.Inode {
	return &image.Inode{Mode: image.TypeSymlink | 0o777, Target: target}
}

func deviceInode(kind, major, minor uint32) *image.Inode {
	return &image.Inode{Mode: kind | 0o600, Major: major, Minor: minor}
}

// describe returns a line for each name, which says all that an ISO keeps of the
// file. Files that are one are called by the first of their names.
func (c contents) describe(t convertertest.TB) []string {
	t.Helper()
	var lines []string
	first := make(map[*image.Inode]string)
	for path, n := range c.tree.Walk() {
		if _, known := first[n]; !known || c.byContent && len(n.Content) == 0 {
			first[n] = "/" + path
		}
		line := fmt.Sprintf("/%s is %s mode %o owner %d:%d time %d", path, first[n], n.Mode, n.UID, n.GID, n.ModTime.Sec)
		switch n.Type() {
		case image.TypeRegular:
			line += fmt.Sprintf(" size %d sum %x", n.Size(), c.sum(t, n))
		case image.TypeSymlink:
			line += " to " + n.Target
		case image.TypeChar, image.TypeBlock:
			line += fmt.Sprintf(" device %d:%d", n.Major, n.Minor)
		}
		lines = append(lines, line)
	}
	return lines
}

// sum returns a hash of a file's content.
func (c contents) sum(t convertertest.TB, n *image.Inode) []byte {
	t.Helper()
	m, err := n.Map()
	if err != nil {
		t.Fatalf("content: %v", err)
	}
	r := extent.NewReader(context.Background(), m, c.blobs)
	defer r.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, io.NewSectionReader(r, 0, m.Size())); err != nil {
		t.Fatalf("content: %v", err)
	}
	return hash.Sum(nil)[:8]
}

// mustEqual fails the test where two trees differ.
func mustEqual(t convertertest.TB, what string, got, want contents) {
	t.Helper()
	a, b := got.describe(t), want.describe(t)
	if slices.Equal(a, b) {
		return
	}
	var differences []string
	for _, line := range a {
		if !slices.Contains(b, line) {
			differences = append(differences, "+ "+line)
		}
	}
	for _, line := range b {
		if !slices.Contains(a, line) {
			differences = append(differences, "- "+line)
		}
	}
	t.Fatalf("%s (+) differs from what is expected (-):\n%s", what, strings.Join(differences[:min(len(differences), 40)], "\n"))
}

// mustPlan plans a tree that must be accepted.
func mustPlan(t convertertest.TB, c contents, o Options) *extent.Map {
	t.Helper()
	m, err := Plan(context.Background(), c.tree, o)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return m
}

// write plans a tree and writes the volume to a file.
func (c contents) write(t testing.TB, o Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "volume.iso")
	convertertest.WriteFile(t, mustPlan(t, c, o), c.blobs, path)
	return path
}

// fromTar returns what is in a tar.
func fromTar(t convertertest.TB, data []byte) contents {
	t.Helper()
	c := contents{blobs: convertertest.Blobs{}}
	var err error
	c.tree, err = image.Merge([]image.Layer{{Digest: c.blobs.Add(data), Tar: bytes.NewReader(data), Size: int64(len(data))}})
	if err != nil {
		t.Fatalf("read a tar: %v", err)
	}
	return c
}

// fromDir returns what is in a directory.
func fromDir(t convertertest.TB, dir string) contents {
	t.Helper()
	var data bytes.Buffer
	if err := tarball.FromDir(context.Background(), dir, &data, nil); err != nil {
		t.Fatalf("%v", err)
	}
	return fromTar(t, data.Bytes())
}

// byBsdtar returns what libarchive finds in a volume.
func byBsdtar(t convertertest.TB, path string) contents {
	t.Helper()
	convertertest.Need(t, "bsdtar", "libarchive-tools")
	c := fromTar(t, []byte(convertertest.Run(t, "bsdtar", "--format=pax", "-cf", "-", "@"+path)))
	c.byContent = true
	return c
}

// byXorriso returns what xorriso extracts from a volume to a directory, as far as
// it can.
func byXorriso(t convertertest.TB, path, dir string) contents {
	t.Helper()
	convertertest.Need(t, "osirrox", "xorriso")
	convertertest.Run(t, "osirrox", "-hardlinks", "on", "-indev", path, "-extract", "/", dir)
	c := extractable(fromDir(t, dir))
	convertertest.Run(t, "chmod", "-R", "u+rwx", dir)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatalf("%v", err)
	}
	return c
}

// extractable returns what is left of files in a directory of this machine:
// devices may be forbidden, owners too unless we are root, and symbolic links
// get no attributes.
func extractable(c contents) contents {
	c.tree = c.tree.Clone()
	for path, n := range c.tree.Walk() {
		switch n.Type() {
		case image.TypeChar, image.TypeBlock:
			dir, name := filepath.Split(path)
			c.tree.Lookup(dir).Unlink(name)
		case image.TypeSymlink:
			*n = image.Inode{Mode: image.TypeSymlink, Target: n.Target, Links: n.Links}
		}
		if os.Geteuid() != 0 {
			n.UID, n.GID = 0, 0
		}
	}
	return c
}

// mustOpen returns what Open finds in a volume.
func mustOpen(t convertertest.TB, path string) contents {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v", err)
	}
	c, err := openBytes(file)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return c
}

const fileDigest = extent.Digest("sha256:the-file")

func openBytes(file []byte) (contents, error) {
	tree, err := Open(bytes.NewReader(file), int64(len(file)), fileDigest)
	return contents{tree: tree, blobs: convertertest.Blobs{fileDigest: file}}, err
}

// mustWrap fails the test unless err wraps want and says all the parts.
func mustWrap(t testing.TB, err, want error, says ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want one that wraps %q", err, want)
	}
	for _, part := range says {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}
