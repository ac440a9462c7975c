package file

import (
	"bytes"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"
	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/blobtest"
)

// openAround opens a driver that writes around the page cache early, and in
// chunks of two blocks.
func openAround(t *testing.T, dir string) *Driver {
	t.Helper()
	d, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	d.writeAround(2*directAlign, 2*directAlign)
	return d
}

func TestDriverAroundThePageCache(t *testing.T) {
	blobtest.TestDriver(t, func(t *testing.T) blobtest.Open {
		dir := t.TempDir()
		return func(t *testing.T) blobstore.Driver { return openAround(t, dir) }
	})
}

// TestLongObjectIsWhole writes objects in pieces of any size, saved, given up and
// resumed on the way, with an eye on what is in the file.
func TestLongObjectIsWhole(t *testing.T) {
	d := openAround(t, t.TempDir())
	content := make([]byte, 20*directAlign)
	for i := range content {
		content[i] = byte(i * i >> 8)
	}
	rapid.Check(t, func(rt *rapid.T) {
		want := content[:rapid.IntRange(0, len(content)).Draw(rt, "size")]
		w, err := d.Create(t.Context())
		if err != nil {
			rt.Fatal(err)
		}
		at := 0
		for at < len(want) {
			n := min(rapid.SampledFrom([]int{1, 100, directAlign, 2 * directAlign, 3*directAlign + 7}).Draw(rt, "piece"), len(want)-at)
			if got, err := w.Write(want[at:][:n]); got != n || err != nil {
				rt.Fatalf("wrote %d of %d: %v", got, n, err)
			}
			at += n
			p := w.Saved()
			switch rapid.SampledFrom([]string{"go on", "go on", "save", "resume", "give up"}).Draw(rt, "then") {
			case "go on":
				continue
			case "save", "resume":
				if p, err = w.Save(t.Context()); err != nil || p.Offset != int64(at) {
					rt.Fatalf("saved at %d of %d: %v", p.Offset, at, err)
				}
			}
			if rapid.Bool().Draw(rt, "goes on") && p.Offset == int64(at) {
				continue
			}
			if err := w.Close(); err != nil {
				rt.Fatal(err)
			}
			if w, err = d.Resume(t.Context(), p); err != nil {
				rt.Fatal(err)
			}
			at = int(p.Offset)
		}
		key, err := w.Seal(t.Context(), blobstore.Label{Digest: digest.FromBytes(want), Kind: blobstore.Whole})
		if err != nil {
			rt.Fatal(err)
		}
		object, err := d.Open(t.Context(), key)
		if err != nil {
			rt.Fatal(err)
		}
		defer object.Close()
		if got, err := io.ReadAll(io.NewSectionReader(object, 0, object.Size())); err != nil || !bytes.Equal(got, want) {
			rt.Fatalf("read %d bytes that are not the %d written: %v", len(got), len(want), err)
		}
	})
}
