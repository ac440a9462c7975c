package iso9660

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Whatever the tree, we read what we planned, and others do too.
func TestEveryTreeComesBack(t *testing.T) {
	dir := t.TempDir()
	path, out := filepath.Join(dir, "volume.iso"), filepath.Join(dir, "out")
	rapid.Check(t, func(t *rapid.T) {
		c := drawContents(t)
		o := Options{Joliet: rapid.Bool().Draw(t, "Joliet"), Time: drawTime(t)}
		m := mustPlan(t, c, o)
		if !reflect.DeepEqual(m, mustPlan(t, c, o)) {
			t.Fatalf("the same tree gave two volumes")
		}
		mustEqual(t, "what Open reads", reopen(t, m, c), c)
		convertertest.WriteFile(t, m, c.blobs, path)
		if rapid.IntRange(0, 3).Draw(t, "xorriso") == 0 {
			mustEqual(t, "what xorriso extracts", byXorriso(t, path, out), extractable(c))
			return
		}
		c.byContent = true
		mustEqual(t, "what bsdtar reads", byBsdtar(t, path), c)
	})
}

// reopen reads a volume that stands nowhere.
func reopen(t convertertest.TB, m *extent.Map, c contents) contents {
	t.Helper()
	r := extent.NewReader(context.Background(), m, c.blobs)
	defer r.Close()
	tree, err := Open(r, m.Size(), fileDigest)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return contents{tree: tree, blobs: convertertest.Blobs{fileDigest: convertertest.Bytes(t, m, c.blobs)}}
}

// drawTime draws a time, but not the last second before 1970: libarchive takes
// that for a mistake.
func drawTime(t *rapid.T) image.Time {
	sec := rapid.Int64Range(-2_000_000_000, 5_800_000_000).Draw(t, "seconds")
	if sec == -1 {
		sec = 0
	}
	return image.Time{Sec: sec}
}

// drawContents draws files and puts each in one of the directories drawn before
// it.
func drawContents(t *rapid.T) contents {
	c := newContents()
	dirs := []*image.Inode{c.tree.Root}
	var files []*image.Inode
	for range rapid.IntRange(0, 40).Draw(t, "files") {
		dir := rapid.SampledFrom(dirs).Draw(t, "directory")
		name := drawName(t)
		if dir.Lookup(name) != nil {
			continue
		}
		if len(files) > 0 && rapid.IntRange(0, 5).Draw(t, "link") == 0 {
			dir.Link(name, rapid.SampledFrom(files).Draw(t, "linked"))
			continue
		}
		n := drawFile(t, c)
		dir.Link(name, n)
		if n.IsDir() {
			dirs = append(dirs, n)
			for i := range rapid.SampledFrom([]int{0, 0, 0, 0, 0, 60}).Draw(t, "entries") {
				n.Link(fmt.Sprintf("%0*d", 20, i), c.regular(""))
			}
			continue
		}
		files = append(files, n)
	}
	return c
}

// drawName draws names of all lengths, many of which look the same in capitals
// or when they are cut short.
func drawName(t *rapid.T) string {
	name := rapid.StringMatching(`[abAB.é日~ _-]{1,10}`).Draw(t, "name")
	if strings.Trim(name, ".") == "" {
		name += "x"
	}
	name = strings.Repeat(name, rapid.SampledFrom([]int{1, 1, 1, 50}).Draw(t, "repeat"))
	runes := []rune(name)
	for len(string(runes)) > maxName {
		runes = runes[:len(runes)-1]
	}
	return string(runes)
}

func drawFile(t *rapid.T, c contents) *image.Inode {
	kinds := []uint32{image.TypeRegular, image.TypeRegular, image.TypeRegular, image.TypeDir, image.TypeDir,
		image.TypeSymlink, image.TypeChar, image.TypeBlock, image.TypeFIFO}
	n := &image.Inode{}
	switch kind := rapid.SampledFrom(kinds).Draw(t, "type"); kind {
	case image.TypeRegular:
		n = c.regular(strings.Repeat("content ", rapid.SampledFrom([]int{0, 1, 255, 256, 257, 3000}).Draw(t, "length")))
		n.Order = rapid.Int64().Draw(t, "order")
	case image.TypeSymlink:
		// libarchive forgets slashes between the fields of a longer target.
		n.Target = drawTarget(t)
	default:
		n.Mode = kind
		if kind == image.TypeChar || kind == image.TypeBlock {
			// Of longer numbers, libarchive and Linux read different ones.
			n.Major, n.Minor = rapid.Uint32Range(0, 255).Draw(t, "major"), rapid.Uint32Range(0, 255).Draw(t, "minor")
		}
	}
	kind := n.Type()
	if n.Target != "" {
		kind = image.TypeSymlink
	}
	n.Mode = kind | rapid.Uint32Range(0, 0o7777).Draw(t, "permissions")
	n.UID, n.GID = drawOwner(t), drawOwner(t)
	n.ModTime = drawTime(t)
	return n
}

func drawTarget(t *rapid.T) string {
	parts := rapid.SliceOfN(rapid.SampledFrom([]string{"a", ".", "..", "...", "name", "é"}), 1, 30).Draw(t, "parts")
	target := strings.Join(parts, "/")
	if rapid.Bool().Draw(t, "absolute") {
		target = "/" + target
	}
	return target
}

// Files of more than 4 GiB have several sections.
func TestLargeFilesComeBack(t *testing.T) {
	convertertest.Need(t, "xorriso", "xorriso")
	c := newContents()
	marks := []byte("a mark")
	for name, size := range map[string]int64{"one": maxSection, "two": maxSection + 1, "three": 2*maxSection + 5000, "small": 10} {
		n := c.regular("")
		n.Content = []extent.Extent{
			{Kind: extent.Inline, Length: int64(len(marks)), Data: marks},
			{Length: size - int64(len(marks))},
		}
		c.put(name, n)
	}
	m := mustPlan(t, c, Options{})
	r := extent.NewReader(t.Context(), m, c.blobs)
	defer r.Close()
	tree, err := Open(r, m.Size(), fileDigest)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "volume.iso")
	convertertest.WriteFile(t, m, c.blobs, path)
	list := convertertest.Run(t, "xorriso", "-indev", path, "-find", "/", "-type", "f", "-exec", "lsdl")
	for _, name := range c.tree.Root.Names() {
		want, got := c.tree.Root.Lookup(name).Size(), tree.Root.Lookup(name)
		if got.Size() != want || len(got.Content) != 1 {
			t.Errorf("%s has %d bytes in %d extents, want %d in one", name, got.Size(), len(got.Content), want)
			continue
		}
		head := make([]byte, len(marks))
		if _, err := r.ReadAt(head, got.Content[0].Offset); err != nil || !bytes.Equal(head, marks) {
			t.Errorf("%s starts with %q, %v", name, head, err)
		}
		if line := fmt.Sprintf(" %d ", want); !strings.Contains(list, line) {
			t.Errorf("xorriso lists no file of %d bytes:\n%s", want, list)
		}
	}
}

// drawOwner draws a user or group. The highest number stands for none.
func drawOwner(t *rapid.T) uint32 { return rapid.Uint32Range(0, 1<<32-2).Draw(t, "owner") }
