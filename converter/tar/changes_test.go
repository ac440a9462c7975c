package tar

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/diff"
)

// inlineContent reads what a file of a test holds.
func inlineContent(n *image.Inode) string {
	var b strings.Builder
	for _, x := range n.Content {
		b.Write(x.Data)
	}
	return b.String()
}

func sameInline(a, b *image.Inode) (bool, error) { return inlineContent(a) == inlineContent(b), nil }

// drawTree makes a tree of few names, so that two trees often differ in the kind
// of what has a name.
func drawTree(t *rapid.T, label string) *image.Tree {
	tree := image.NewTree()
	dirs := []*image.Inode{tree.Root}
	var files []*image.Inode
	for i := range rapid.IntRange(0, 12).Draw(t, label+" files") {
		what := fmt.Sprintf("%s %d ", label, i)
		dir := rapid.SampledFrom(dirs).Draw(t, what+"directory")
		name := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, what+"name")
		if old := dir.Lookup(name); old != nil {
			continue
		}
		n := &image.Inode{UID: uint32(rapid.IntRange(0, 1).Draw(t, what+"owner")), ModTime: image.Time{Sec: 1e9}}
		switch rapid.IntRange(0, 3).Draw(t, what+"type") {
		case 0:
			n.Mode = image.TypeDir | 0o755
			dirs = append(dirs, n)
		case 1:
			n.Mode, n.Target = image.TypeSymlink|0o777, "target"
		case 2:
			if len(files) > 0 {
				n = rapid.SampledFrom(files).Draw(t, what+"linked")
				break
			}
			fallthrough
		default:
			n.Mode = image.TypeRegular | 0o644
			if c := rapid.SampledFrom([]string{"", "x", "y", "longer"}).Draw(t, what+"content"); c != "" {
				n.Content = []extent.Extent{{Kind: extent.Inline, Length: int64(len(c)), Data: []byte(c)}}
			}
			files = append(files, n)
		}
		dir.Link(name, n)
	}
	tree.Sort()
	return tree
}

// layerOf returns a planned tar as a layer. Its content is inline.
func layerOf(t *rapid.T, m *extent.Map, name extent.Digest) image.Layer {
	r := extent.NewReader(t.Context(), m, nil)
	data := make([]byte, m.Size())
	if _, err := r.ReadAt(data, 0); err != nil {
		t.Fatal(err)
	}
	return image.Layer{Digest: name, Tar: bytes.NewReader(data), Size: m.Size()}
}

func TestALayerOfChangesTurnsOneTreeIntoTheOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, after := drawTree(t, "old"), drawTree(t, "new")
		changes, err := diff.Trees(before, after, sameInline)
		if err != nil {
			t.Fatal(err)
		}
		below, err := Plan(t.Context(), before)
		if err != nil {
			t.Fatal(err)
		}
		above, err := PlanChanges(t.Context(), after, changes)
		if err != nil {
			t.Fatal(err)
		}
		layers := []image.Layer{layerOf(t, below, "below"), layerOf(t, above, "above")}
		merged, err := image.Merge(layers)
		if err != nil {
			t.Fatal(err)
		}
		left, err := diff.Trees(after, merged, func(a, b *image.Inode) (bool, error) {
			return inlineContent(a) == tarContent(t, layers, b), nil
		})
		if err != nil || len(left) > 0 {
			for _, c := range left {
				t.Errorf("/%s: added %v, removed %v, %s", c.Path, c.Added(), c.Removed(), c.Aspects)
			}
			t.Fatal(err)
		}
	})
}

// tarContent reads what a file of merged layers holds.
func tarContent(t *rapid.T, layers []image.Layer, n *image.Inode) string {
	var b strings.Builder
	for _, x := range n.Content {
		for _, l := range layers {
			if l.Digest != x.Digest {
				continue
			}
			p := make([]byte, x.Length)
			if _, err := l.Tar.ReadAt(p, x.Offset); err != nil {
				t.Fatal(err)
			}
			b.Write(p)
		}
	}
	return b.String()
}

func TestNamesThatMeanARemovalAreRefused(t *testing.T) {
	tree := image.NewTree()
	tree.Root.Link(".wh.file", &image.Inode{Mode: image.TypeRegular | 0o644})
	changes, err := diff.Trees(image.NewTree(), tree, sameInline)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := PlanChanges(t.Context(), tree, changes); err == nil || !strings.Contains(err.Error(), "removal") {
		t.Errorf("got %v", err)
	}
}
