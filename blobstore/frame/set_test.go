package frame

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestASetHasWhatWasPutInIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 200).Draw(t, "n")
		x := &Index{digests: make([][32]byte, n)}
		want := rapid.SliceOfDistinct(rapid.IntRange(0, n-1), rapid.ID).Draw(t, "frames")
		s := x.NewSet()
		for _, i := range want {
			s.Add(i)
		}
		slices.Sort(want)
		if got := slices.Collect(s.All()); !slices.Equal(got, want) {
			t.Fatalf("the set has %v, want %v", got, want)
		}
		for _, i := range want {
			if s.Empty() || !s.Has(i) {
				t.Fatalf("frame %d is not in the set", i)
			}
			s.Remove(i)
		}
		if !s.Empty() {
			t.Fatalf("the set has %v, want nothing", slices.Collect(s.All()))
		}
	})
}
