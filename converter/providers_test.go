package converter

import (
	"slices"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

// pushedDisk is a disk that was pushed.
func pushedDisk(t *testing.T, blobs convertertest.Blobs) *extent.Map {
	t.Helper()
	var b extent.Builder
	b.Source(blobs.Add(make([]byte, 3<<20)), 0, 3<<20)
	disk, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return disk
}

// TestProvidersTakeDisksThatWerePushed renders a disk of which nobody knows what
// boots it.
func TestProvidersTakeDisksThatWerePushed(t *testing.T) {
	blobs := convertertest.Blobs{}
	disk := pushedDisk(t, blobs)
	for _, f := range Formats() {
		if !slices.Contains(f.Types, TypeDisk) {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			in := Input{Content: &Content{Type: TypeDisk, Map: disk}, Open: blobs, Spool: blobs}
			out, err := Render(t.Context(), in, Parameters{Format: f.Name})
			if err != nil || len(out.Files) == 0 {
				t.Fatalf("%d files, %v", len(out.Files), err)
			}
			for _, file := range out.Files {
				if file.Map.Size() == 0 || file.Name == "" || file.MediaType == "" {
					t.Errorf("a file without content, name or media type: %+v", file)
				}
			}
		})
	}
}

func TestCompressionsAreKnownByName(t *testing.T) {
	qcow2, err := FindFormat("qcow2")
	if err != nil {
		t.Fatal(err)
	}
	for asked, want := range map[string]string{"": "", CompressDefault: "zlib", "zstd": "zstd"} {
		if c, err := qcow2.Compression(asked); err != nil || c.Name != want {
			t.Errorf("%q is %q, %v; want %q", asked, c.Name, err, want)
		}
	}
	if _, err := qcow2.Compression("lzma"); err == nil {
		t.Error("qcow2 is compressed with lzma")
	}
	raw, err := FindFormat("raw")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Compression(CompressDefault); err == nil {
		t.Error("raw is compressed")
	}
}
