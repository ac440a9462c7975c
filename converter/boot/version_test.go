package boot

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestVersionsAreOrderedAsPeopleReadThem(t *testing.T) {
	ascending := []string{
		"", "5.10.0-30-amd64", "6.1~rc1", "6.1", "6.1.0-9-amd64", "6.1.0-9-cloud-amd64", "6.1.0-10-amd64", "6.1.0-56-cloud-amd64",
		"6.12.9", "6.12.12-200.fc41.x86_64", "10.0", "99999999999999999999999.1", "lts",
	}
	for i, a := range ascending {
		for j, b := range ascending {
			if got, want := sign(CompareVersions(a, b)), sign(i-j); got != want {
				t.Errorf("CompareVersions(%q, %q) = %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestComparingVersionsIsAnOrder(t *testing.T) {
	version := rapid.StringMatching(`[0-9a~.-]{0,8}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := version.Draw(t, "a"), version.Draw(t, "b"), version.Draw(t, "c")
		if sign(CompareVersions(a, b)) != -sign(CompareVersions(b, a)) {
			t.Fatalf("%q and %q compare differently the other way round", a, b)
		}
		sorted := []string{a, b, c}
		slices.SortFunc(sorted, CompareVersions)
		if CompareVersions(sorted[0], sorted[2]) > 0 {
			t.Fatalf("%q: not transitive", sorted)
		}
	})
}

func sign(n int) int { return min(1, max(-1, n)) }
