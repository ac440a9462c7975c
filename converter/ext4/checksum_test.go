package ext4

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// checksumTree has a block of every kind that has a checksum.
func checksumTree() *image.Tree {
	var holes []extent.Extent
	for range 5 {
		holes = append(holes, sourceExtent(0, 100), holeExtent(2*blockSize-100))
	}
	return treeOf(map[string]*image.Inode{
		"sub/extents": regular(holes...),
		"sub/xattrs":  withXattrs(regular(), image.Xattr{Name: "user.x", Value: bytes.Repeat([]byte("x"), 1000)}),
		"crowd":       crowd(1000, func(i int) string { return strings.Repeat("c", i%200) + string(rune('a'+i/200)) }),
	})
}

// This says that the other tests can fail: for each kind of metadata, e2fsck
// sees a checksum that is wrong.
func TestE2fsckSeesEveryWrongChecksum(t *testing.T) {
	img := planImage(t, checksumTree(), testOptions())
	mustCheck(t, img)
	f, err := os.OpenFile(img, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name, at := range checksumOffsets(t, checksumTree()) {
		t.Run(name, func(t *testing.T) {
			old := readAt(t, f, at, 1)
			if _, err := f.WriteAt([]byte{old[0] ^ 1}, at); err != nil {
				t.Fatal(err)
			}
			if check(t, img) == "" {
				t.Errorf("e2fsck says nothing of the byte at %d", at)
			}
			if _, err := f.WriteAt(old, at); err != nil {
				t.Fatal(err)
			}
		})
	}
	mustCheck(t, img)
}

// checksumOffsets returns where a checksum of every kind stands.
func checksumOffsets(t *testing.T, tree *image.Tree) map[string]int64 {
	t.Helper()
	p, err := newPlan(tree, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.build(); err != nil {
		t.Fatal(err)
	}
	offsets := map[string]int64{
		"superblock":   superblockOffset + superblockSumAt,
		"descriptor":   blockSize + descSumOffset,
		"block bitmap": blockSize + 0x18,
		"inode bitmap": blockSize + 0x1A,
	}
	root := inodeOffset(t, tree, testOptions(), rootIno)
	offsets["inode, low half"] = root + inodeSumLo
	offsets["inode, high half"] = root + inodeSumHi
	for _, n := range append(p.files, p.root) {
		if n.treeBlocks != nil {
			offsets["extent block"] = int64(n.treeBlocks[0])*blockSize + extentTailOffset
		}
		if n.xattrBlock != 0 {
			offsets["attribute block"] = int64(n.xattrBlock)*blockSize + xattrSumOffset
		}
		if !n.isDir() {
			continue
		}
		start := int64(p.pieces[n.firstPiece].physical) * blockSize
		if n.flags&flagIndexed != 0 {
			offsets["directory index"] = start + blockSize - 4
			offsets["indexed directory block"] = start + 2*blockSize - 4
			continue
		}
		offsets["directory block"] = start + blockSize - 4
	}
	if len(offsets) != 11 {
		t.Fatalf("found %d checksums, want 11: %v", len(offsets), offsets)
	}
	return offsets
}
