package converter

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

// framed returns the index of content in frames on a grid, with the digest and the
// map of the content.
func framed(t *testing.T, content []byte) (*frame.Index, digest.Digest, *extent.Map) {
	t.Helper()
	var out bytes.Buffer
	frames, err := frame.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	grid := frame.NewGrid(frames)
	if _, err := grid.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := grid.Close(); err != nil {
		t.Fatal(err)
	}
	index, _, err := frames.Close()
	if err != nil {
		t.Fatal(err)
	}
	d := digest.FromBytes(content)
	m, err := index.Map(extent.Digest(d))
	if err != nil {
		t.Fatal(err)
	}
	return index, d, m
}

// Of two disks in frames only the frames are read that they do not share, and only
// the cluster is written that differs.
func TestFramesThatDisksShareAreNotRead(t *testing.T) {
	parent := bytes.Repeat([]byte("some content of a disk\n\n\n"), 1<<15)
	disk := slices.Clone(parent)
	const changed = 300_000
	copy(disk[changed:], "changed")
	blobs := convertertest.Blobs{}
	parentIndex, parentDigest, parentMap := framed(t, parent)
	diskIndex, diskDigest, diskMap := framed(t, disk)
	cell := changed / frame.MaxContent * frame.MaxContent
	for d, content := range map[digest.Digest][]byte{parentDigest: parent, diskDigest: disk} {
		only := make([]byte, len(content)) // anything else that is read is wrong, and found to differ
		copy(only[cell:cell+frame.MaxContent], content[cell:])
		if d == parentDigest {
			only[0] = 1
		}
		blobs[extent.Digest(d)] = only
	}
	in := Input{
		Content: &Content{Type: TypeDisk, Map: diskMap, Digest: diskDigest, Frames: diskIndex},
		Parent:  &Parent{Digest: parentDigest, Map: parentMap, Frames: parentIndex},
		Open:    blobs,
	}
	out, err := Render(t.Context(), in, Parameters{Format: formatQcow2, Parent: digest.FromString("the image of the parent")})
	if err != nil {
		t.Fatal(err)
	}
	if size := out.Files[0].Map.Size(); size != 6<<16 { // header, refcounts, tables and one cluster
		t.Errorf("the file has %d bytes", size)
	}
	if !slices.ContainsFunc(out.Notes, func(note string) bool { return strings.Contains(note, string(parentDigest)) }) {
		t.Errorf("the notes are %q", out.Notes)
	}
}

func TestContentIsNamedByItsFrame(t *testing.T) {
	content := slices.Concat(bytes.Repeat([]byte("a"), frame.MaxContent), bytes.Repeat([]byte("b"), frame.MaxContent))
	index, d, _ := framed(t, content)
	names := frameNames{extent.Digest(d): index}
	within := extent.Extent{Kind: extent.Source, Digest: extent.Digest(d), Offset: frame.MaxContent - 10, Length: 100}
	first, second := index.At(0).Digest, index.At(1).Digest
	for offset, want := range map[int64]extent.Extent{
		frame.MaxContent - 10: {Kind: extent.Source, Digest: extent.Digest(first[:]), Offset: frame.MaxContent - 10, Length: 10},
		frame.MaxContent + 5:  {Kind: extent.Source, Digest: extent.Digest(second[:]), Offset: 5, Length: 100},
	} {
		within.Offset = offset
		if got := names.name(within); !got.Equal(want) {
			t.Errorf("at %d: got %+v, want %+v", offset, got, want)
		}
	}
	within.Digest = "sha256:another"
	if got := names.name(within); !got.Equal(within) {
		t.Errorf("of another blob: %+v", got)
	}
}

func TestParentsAreForSomeFormats(t *testing.T) {
	d := digest.FromString("a parent")
	for _, f := range Formats() {
		err := Parameters{Format: f.Name, Parent: d}.Check()
		if want := slices.Contains([]string{"qcow2", "qcow2-v2", "vhd", "vhdx"}, f.Name); (err == nil) != want {
			t.Errorf("%s: %v", f.Name, err)
		}
		if (f.over == nil) != (f.OpenOver == nil) {
			t.Errorf("%s is not both written over a parent and read over it", f.Name)
		}
	}
	for _, p := range []Parameters{{Format: formatQcow2, Parent: "disks:1"}, {Format: formatQcow2, Parent: d, Compress: "zlib"}} {
		if err := p.Check(); err == nil {
			t.Errorf("%+v is accepted", p)
		}
	}
	if _, err := Render(t.Context(), Input{Content: &Content{Type: TypeDisk, Map: &extent.Map{}}}, Parameters{Format: formatQcow2, Parent: d}); err == nil {
		t.Error("an output over a parent was rendered without it")
	}
}
