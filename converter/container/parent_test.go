package container

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

func TestOnlyADigestNamesAParent(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0f", 32)
	known := FindParent(func(d extent.Digest) (Parent, error) { return Parent{Digest: d, Size: 1}, nil })
	for _, name := range []string{"", "base.vhd", "/etc/passwd", "http://host/" + digest, "sha256:", digest[:70], digest + "0",
		strings.ToUpper(digest), "sha512:" + digest[7:], digest[:70] + "g", "json:{}", strings.Repeat("x", 1<<20)} {
		_, err := known.Find(name)
		if !errors.Is(err, ErrUnsupported) {
			t.Errorf("%.80q: %v, want ErrUnsupported", name, err)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("%.80q: the error has %d bytes", name, len(err.Error()))
		}
	}
	if p, err := known.Find(digest); err != nil || string(p.Digest) != digest {
		t.Errorf("%s: got %v, %v", digest, p, err)
	}
	if _, err := FindParent(nil).Find(digest); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a parent that nobody gave: %v", err)
	}
}

// A disk that differs in some places from its base, put together from the base
// and the runs that differ, is the disk.
func TestBaseRunsAreWhatDiffers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blobs := convertertest.Blobs{}
		parent := convertertest.DrawMap(t, blobs, 1<<20)
		disk := change(t, parent, blobs)
		grain := rapid.SampledFrom([]int64{512, 4096, 10_000}).Draw(t, "grain")
		base := Base{Digest: blobs.Add(convertertest.Bytes(t, parent, blobs)), Map: parent}
		runs := base.Runs(disk, grain)

		var b extent.Builder
		for _, r := range runs {
			from := Parent{base.Digest, parent.Size()}
			from.AppendTo(&b, b.Size(), r.First*grain-b.Size())
			n := min(r.Count*grain, disk.Size()-b.Size())
			b.Slice(disk, b.Size(), n)
		}
		Parent{base.Digest, parent.Size()}.AppendTo(&b, b.Size(), disk.Size()-b.Size())
		again, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		want := convertertest.Bytes(t, disk, blobs)
		if !slices.Equal(convertertest.Bytes(t, again, blobs), want) {
			t.Fatalf("the disk differs from its base at more than %v", runs)
		}
		// What names the base by its digest does not differ from it.
		if rest := base.Runs(again, grain); Grains(rest) > Grains(runs) {
			t.Fatalf("read back, the runs %v became %v", runs, rest)
		}
		if same := base.Runs(parent, grain); len(same) > 0 {
			t.Fatalf("a disk differs from itself at %v", same)
		}
	})
}

// change returns a disk that has one place of another overwritten.
func change(t *rapid.T, m *extent.Map, blobs convertertest.Blobs) *extent.Map {
	off := rapid.Int64Range(0, m.Size()).Draw(t, "change at")
	disk, err := extent.Overlay(m, off, convertertest.DrawMap(t, blobs, 1<<14))
	if err != nil {
		t.Fatal(err)
	}
	return disk
}
