package convertertest

import (
	"os"
	"slices"
	"strings"
	"testing"
)

var allTrees = Trees{Files: 25, FileSize: 1 << 20, Seconds: true, Namespaces: []string{"security.", "trusted.", "user."}}

func TestExtractedTreesAreListedAlike(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("files of other users take root")
	}
	blobs, dir := Blobs{}, t.TempDir()
	tree := DrawExample(allTrees, blobs)
	Extract(t, tree, blobs, dir)
	SameListing(t, ListDir(t, dir), ListTree(t, tree, blobs))
}

func TestListingsThatDifferAreShown(t *testing.T) {
	tree := DrawExample(allTrees, Blobs{})
	for _, n := range tree.Walk() { // content would take the blobs of another draw
		n.Content = nil
	}
	want := ListTree(t, tree, nil)
	for name, got := range map[string][]string{
		"fewer":   want[:len(want)-1],
		"more":    append(slices.Clone(want), "~"),
		"another": append([]string{"!"}, want[1:]...),
	} {
		var f failure
		SameListing(&f, got, want)
		if !strings.Contains(f.message, "the trees differ") {
			t.Errorf("%s: message %q", name, f.message)
		}
	}
}
