package converter

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"slices"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/disk"
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
	pushed := pushedDisk(t, blobs)
	for _, f := range Formats() {
		if !slices.Contains(f.Types, TypeDisk) {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			in := Input{Content: &Content{Type: TypeDisk, Map: pushed}, Open: blobs, Spool: blobs}
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

// TestComputeEngineGetsWholeGiB looks at the size in the header of the tar.
func TestComputeEngineGetsWholeGiB(t *testing.T) {
	blobs := convertertest.Blobs{}
	in := Input{Content: &Content{Type: TypeDisk, Map: pushedDisk(t, blobs)}, Open: blobs, Spool: blobs}
	for size, want := range map[int64]int64{0: 1 << 30, 2 << 30: 2 << 30, 1<<30 + 1<<20: 0} {
		out, err := Render(t.Context(), in, Parameters{Format: "gce", Disk: disk.Options{Size: size}})
		if want == 0 {
			if err == nil || !strings.Contains(err.Error(), "2147483648") {
				t.Errorf("of %d bytes: %v", size, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		unpacked, err := gzip.NewReader(bytes.NewReader(convertertest.Bytes(t, out.Files[0].Map, blobs)))
		if err != nil {
			t.Fatal(err)
		}
		header, err := tar.NewReader(unpacked).Next()
		if err != nil || header.Name != "disk.raw" || header.Size != want || header.Format != tar.FormatGNU {
			t.Errorf("of %d bytes: %+v, %v", size, header, err)
		}
	}
}

// TestTheUsualCompressionIsTheSameByItsName holds of outputs of several files, too:
// both ask for one derivation.
func TestTheUsualCompressionIsTheSameByItsName(t *testing.T) {
	blobs := convertertest.Blobs{}
	in := Input{Content: &Content{Type: TypeDisk, Map: pushedDisk(t, blobs)}, Open: blobs, Spool: blobs}
	for _, f := range Formats() {
		if !slices.Contains(f.Types, TypeDisk) || len(f.Compressions) == 0 {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			usual, err := Render(t.Context(), in, Parameters{Format: f.Name, Compress: CompressDefault})
			if err != nil {
				t.Fatal(err)
			}
			named, err := Render(t.Context(), in, Parameters{Format: f.Name, Compress: f.Compressions[0].Name})
			if err != nil {
				t.Fatal(err)
			}
			for i, file := range usual.Files {
				if !bytes.Equal(convertertest.Bytes(t, file.Map, blobs), convertertest.Bytes(t, named.Files[i].Map, blobs)) {
					t.Errorf("%s is another with %s", file.Name, f.Compressions[0].Name)
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
