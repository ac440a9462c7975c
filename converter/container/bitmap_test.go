package container

import (
	"testing"

	"pgregory.net/rapid"
)

func TestBitsThatAreTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bitmap := Bitmap(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 0xff, 0xf0, 1, 0x80}), 1, 20).Draw(t, "bitmap"))
		n := int64(len(bitmap)) * 8
		i := rapid.Int64Range(0, n-1).Draw(t, "bit")
		want := int64(1)
		for i+want < n && bitmap.At(i+want) == bitmap.At(i) {
			want++
		}
		if got := bitmap.Same(i); got != want {
			t.Fatalf("%d bits from %d of %x, want %d", got, i, bitmap, want)
		}
	})
}
