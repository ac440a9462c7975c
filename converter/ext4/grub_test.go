package ext4

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/image"
)

// GRUB has a reader of its own, which knows fewer features than Linux.
func TestGrubReadsThePlan(t *testing.T) {
	tree := everyKind()
	tree.Root.Link("crowd", crowd(20_000, func(i int) string { return fmt.Sprintf("file-%d", i) }))
	tree.Root.Lookup("crowd").Link("last", regular(sourceExtent(3, 3<<20)))
	tree.Root.Link("boot", symlink("hole/../link/../crowd"))
	o := testOptions()
	o.Size = 20 << 30
	img := planImage(t, tree, o)
	for path, file := range map[string]*image.Inode{
		"/small":                           tree.Lookup("small"),
		"/odd":                             tree.Lookup("odd"),
		"/hole/in-two":                     tree.Lookup("hole/in-two"),
		"/crowd/last":                      tree.Lookup("crowd/last"),
		"/boot/last":                       tree.Lookup("crowd/last"),
		strings.Repeat("/d", 10) + "/deep": tree.Lookup(strings.Repeat("d/", 10) + "deep"),
	} {
		out, err := exec.Command(tool(t, "grub-fstest", "grub-common"), img, "cat", path).Output()
		if err != nil {
			t.Errorf("grub-fstest cat %s: %v", path, err)
			continue
		}
		if !bytes.Equal(out, contentBytes(t, file, 0, file.Size())) {
			t.Errorf("grub-fstest reads other content from %s", path)
		}
	}
}
