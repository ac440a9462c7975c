package container

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/convertertest"
)

// With a parent, the disk has the file's sectors where the bitmap has a bit and
// the parent's everywhere else, which is zero beyond the parent's end.
func TestSectorsAreThoseTheBitmapChooses(t *testing.T) {
	const sector = 4
	rapid.Check(t, func(t *rapid.T) {
		blobs := convertertest.Blobs{}
		bitmap := Bitmap(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 0xff, 0xf0, 1}), 1, 8).Draw(t, "bitmap"))
		n := rapid.Int64Range(1, int64(len(bitmap))*8*sector).Draw(t, "bytes")
		file, parent := bytes.Repeat([]byte("f"), int(n)), bytes.Repeat([]byte("p"), rapid.IntRange(0, int(n)).Draw(t, "parent"))
		s := Sectors{Source: blobs.Add(file)}
		want := make([]byte, n)
		if rapid.Bool().Draw(t, "has a parent") {
			s.Parent = &Parent{Digest: blobs.Add(parent), Size: int64(len(parent))}
			copy(want, parent)
		}
		for at := range n {
			if bitmap.At(at / sector) {
				want[at] = 'f'
			}
		}
		if err := s.Choose(bitmap, sector, 0, n); err != nil {
			t.Fatal(err)
		}
		disk, err := s.Build()
		if err != nil {
			t.Fatal(err)
		}
		if got := convertertest.Bytes(t, disk, blobs); !slices.Equal(got, want) {
			t.Fatalf("the disk is %q, want %q", got, want)
		}
	})
}

func TestSectorsBoundTheMemoryOfFragments(t *testing.T) {
	s := Sectors{Source: "sha256:the-file"}
	everyOther := Bitmap(bytes.Repeat([]byte{0xaa}, 512))
	var err error
	for range MaxPieces {
		if err = s.Choose(everyOther, 512, 0, 512*8*512); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}
