package image_test

import (
	"maps"
	"testing"

	"github.com/cloudlets/cloudlets/image"
)

func TestCloneIsACopyWithTheSameLinks(t *testing.T) {
	tree := image.NewTree()
	dir := &image.Inode{Mode: image.TypeDir | 0o755}
	file := &image.Inode{Mode: image.TypeRegular | 0o644, UID: 7}
	tree.Root.Link("dir", dir)
	dir.Link("a", file)
	dir.Link("b", file)

	clone := tree.Clone()
	if a, b := clone.Lookup("dir/a"), clone.Lookup("dir/b"); a != b || a == file || a.UID != 7 || a.Links != 2 {
		t.Errorf("copies %+v and %+v, want one copy of %+v", a, b, file)
	}
	clone.Lookup("dir").Unlink("a")
	clone.Lookup("dir").Link("c", &image.Inode{Mode: image.TypeRegular})
	clone.Lookup("dir/b").UID = 8

	got := maps.Collect(tree.Walk())
	if len(got) != 4 || got["dir/a"] != file || got["dir/b"] != file || file.UID != 7 || file.Links != 2 {
		t.Errorf("the original changed with its copy: %v, %+v", got, file)
	}
}
