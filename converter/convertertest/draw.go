package convertertest

import (
	"bytes"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/extent"
)

// DrawMap draws a map of at most about maxSize bytes. Extents of all kinds start
// and end anywhere, and lie in wide holes. The blobs it reads are added to blobs.
func DrawMap(t *rapid.T, blobs Blobs, maxSize int64) *extent.Map {
	t.Helper()
	blob := bytes.Repeat([]byte("a blob that fills disks. "), 1<<12)
	digest := blobs.Add(blob)
	var b extent.Builder
	for range rapid.IntRange(0, 12).Draw(t, "extents") {
		switch extent.Kind(rapid.IntRange(0, 2).Draw(t, "kind")) {
		case extent.Zero:
			b.Zero(rapid.Int64Range(0, maxSize/8).Draw(t, "zeros"))
		case extent.Inline:
			b.Inline(rapid.SliceOfN(rapid.Byte(), 1, 2000).Draw(t, "inline"))
		case extent.Source:
			off := rapid.Int64Range(0, int64(len(blob))-1).Draw(t, "offset")
			n := rapid.Int64Range(1, int64(len(blob))-off).Draw(t, "length")
			b.Source(digest, off, n)
		}
	}
	m, err := b.Build()
	if err != nil {
		t.Fatalf("build the drawn map: %v", err)
	}
	return m
}
