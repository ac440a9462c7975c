package tar

import (
	"bytes"
	"io"
	"strings"
	"testing"

	stdtar "archive/tar"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// TestGNUFilesNeedNoExtendedHeader has the size of a disk beyond eleven octal
// digits, which pax says in a header of its own.
func TestGNUFilesNeedNoExtendedHeader(t *testing.T) {
	for _, size := range []int64{0, 1000, 8<<30 - 1, 8 << 30, 3 << 40} {
		var content extent.Builder
		content.Zero(size)
		disk, err := content.Build()
		if err != nil {
			t.Fatal(err)
		}
		m, err := PlanGNUFiles(File{Path: "disk.raw", Mode: image.TypeRegular | 0o644, Content: disk})
		if err != nil {
			t.Fatal(err)
		}
		r := extent.NewReader(t.Context(), m, convertertest.Blobs{})
		header, err := stdtar.NewReader(io.NewSectionReader(r, 0, m.Size())).Next()
		if err != nil || header.Name != "disk.raw" || header.Size != size || header.Format != stdtar.FormatGNU {
			t.Errorf("%d bytes: got %+v, %v", size, header, err)
		}
		var block [512]byte
		if _, err := r.ReadAt(block[:], 0); err != nil || !bytes.HasPrefix(block[:], []byte("disk.raw\x00")) {
			t.Errorf("%d bytes: the tar begins with %q, %v", size, block[:10], err)
		}
	}
	if _, err := PlanGNUFiles(File{Path: strings.Repeat("x", 101), Mode: image.TypeRegular, Content: new(extent.Map)}); err == nil {
		t.Error("a long name was taken")
	}
}
