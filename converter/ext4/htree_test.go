package ext4

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/image"
)

// crowd returns a directory with n files named by name.
func crowd(n int, name func(i int) string) *image.Inode {
	dir := directoryInode()
	for i := range n {
		dir.Link(name(i), &image.Inode{Mode: image.TypeRegular | 0o644})
	}
	return dir
}

func TestPlanIndexesLargeDirectories(t *testing.T) {
	long := func(i int) string { return fmt.Sprintf("%0255d", i) }
	for name, c := range map[string]struct {
		files   int
		name    func(int) string
		without Feature
	}{
		"just one block":             {files: 14, name: long},
		"just two blocks":            {files: 16, name: long},
		"one level, full root":       {files: 15 * 507, name: long},
		"two levels":                 {files: 15*507 + 1, name: long},
		"two levels, no checksums":   {files: 15*508 + 1, name: long, without: MetadataChecksum},
		"one level, no checksums":    {files: 15 * 508, name: long, without: MetadataChecksum},
		"many short names":           {files: 20_000, name: func(i int) string { return fmt.Sprint(i) }},
		"names with high characters": {files: 2000, name: func(i int) string { return fmt.Sprintf("\xff\xe9%d\x80", i) }},
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions()
			o.Without = c.without
			tree := treeOf(map[string]*image.Inode{"sub/crowd": crowd(c.files, c.name)})
			img := planImage(t, tree, o)
			mustCheck(t, img)
			lists := debugfs(t, img, []string{"ls -p /sub/crowd"})
			if n := len(parseListing(t, lists[0])); n != c.files+2 {
				t.Errorf("debugfs lists %d names, want %d", n, c.files+2)
			}
		})
	}
}

func TestPlanOfAHundredThousandFilesInOneDirectory(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 100,000 files")
	}
	tree := treeOf(map[string]*image.Inode{"crowd": crowd(100_000, func(i int) string { return fmt.Sprintf("file-%d.txt", i) })})
	img := planImage(t, tree, testOptions())
	mustCheck(t, img)
	dump := debugfs(t, img, []string{"htree_dump /crowd", "ls -p /crowd"})
	if !strings.Contains(dump[0], "Indirect levels: 1") {
		t.Errorf("the directory has no second level:\n%.500s", dump[0])
	}
	if n := len(parseListing(t, dump[1])); n != 100_002 {
		t.Errorf("debugfs lists %d names, want 100002", n)
	}
}

// A block that starts with the hash the one before ends with must say so, or
// a lookup would not go on to it.
func TestPlanMarksAHashThatGoesOnInTheNextBlock(t *testing.T) {
	name := func(i int) string { return fmt.Sprintf("%0255d", i) }
	const perBlock = (blockSize - dirTailSize) / (entryHeaderSize + 256)
	h := newDirHasher(testOptions().UUID)
	seen := make(map[uint32]int)
	var first, second int
	var shared uint32
	for i := 0; ; i++ {
		hash, _ := h.hash(name(i))
		if other, ok := seen[hash]; ok {
			first, second, shared = other, i, hash
			break
		}
		seen[hash] = i
	}
	dir := directoryInode()
	dir.Link(name(first), regular())
	dir.Link(name(second), regular())
	lower, higher := 0, 0
	for hash, i := range seen {
		switch {
		case hash < shared && lower < 3*perBlock-1:
			lower++
		case hash > shared && higher < perBlock:
			higher++
		default:
			continue
		}
		dir.Link(name(i), regular())
	}
	if lower != 3*perBlock-1 {
		t.Fatalf("found %d names with lower hashes, want %d", lower, 3*perBlock-1)
	}
	img := planImage(t, treeOf(map[string]*image.Inode{"crowd": dir}), testOptions())
	mustCheck(t, img)
	dump := debugfs(t, img, []string{"htree_dump /crowd"})[0]
	if want := fmt.Sprintf("Hash 0x%08x", shared|dxContinued); !strings.Contains(dump, want) {
		t.Errorf("no block starts with %s:\n%.800s", want, dump)
	}
}

func TestPlanCountsSubdirectoriesPastTheLinkLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 65,000 directories")
	}
	dir := directoryInode()
	for i := range maxLinks - 1 {
		dir.Link(fmt.Sprint(i), directoryInode())
	}
	tree := treeOf(map[string]*image.Inode{"dirs": dir})
	img := planImage(t, tree, testOptions())
	mustCheck(t, img)
	if got := parseStat(t, debugfs(t, img, []string{"stat /dirs"})[0]).links; got != 1 {
		t.Errorf("%d subdirectories: %d links, want 1", maxLinks-1, got)
	}
}

func TestSubdirectoryCountStopsPastTheLinkLimit(t *testing.T) {
	n := node{links: maxLinks - 1}
	for _, want := range []uint32{maxLinks, 1, 1} {
		if n.addSubdirectory(); n.links != want {
			t.Errorf("%d links, want %d", n.links, want)
		}
	}
}
