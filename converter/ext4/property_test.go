package ext4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Whatever the tree, e2fsck finds the filesystem clean and debugfs sees the tree.
func TestEveryTreeIsPlannedRight(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		tree := drawTree(t)
		o := drawOptions(t)
		m := mustPlan(t, tree, o)
		path := filepath.Join(dir, "ext4.img")
		writeImage(t, path, m)
		mustCheck(t, path)
		mustHold(t, path, tree)
		if err := os.Remove(path); err != nil {
			t.Fatalf("%v", err)
		}
	})
}

func drawOptions(t *rapid.T) Options {
	o := testOptions()
	o.FreeSpace = rapid.Int64Range(0, 300<<20).Draw(t, "free space")
	o.FreeInodes = rapid.Int64Range(0, 20_000).Draw(t, "free inodes")
	o.InodeRatio = rapid.Int64Range(minInodeRatio, 100_000).Draw(t, "inode ratio")
	o.ReservedPercent = rapid.IntRange(0, maxReservedPercent).Draw(t, "reserved")
	o.Without = Feature(rapid.SampledFrom([]int{0, 0, 0, 1, 2, 3, 4, 5, 6, 7}).Draw(t, "without"))
	return o
}

// drawTree draws files and puts each in one of the directories drawn before it.
func drawTree(t *rapid.T) *image.Tree {
	tree := image.NewTree()
	dirs := []*image.Inode{tree.Root}
	var files []*image.Inode
	for range rapid.IntRange(0, 40).Draw(t, "files") {
		dir := rapid.SampledFrom(dirs).Draw(t, "directory")
		name := drawName(t)
		if dir.Lookup(name) != nil || name == lostAndFoundName {
			continue
		}
		if len(files) > 0 && rapid.IntRange(0, 5).Draw(t, "link") == 0 {
			dir.Link(name, rapid.SampledFrom(files).Draw(t, "linked"))
			continue
		}
		file := drawFile(t)
		dir.Link(name, file)
		if file.IsDir() {
			dirs = append(dirs, file)
			fillDirectory(t, file)
			continue
		}
		files = append(files, file)
	}
	return tree
}

// fillDirectory makes some directories large enough for an index.
func fillDirectory(t *rapid.T, dir *image.Inode) {
	if rapid.IntRange(0, 7).Draw(t, "large") != 0 {
		return
	}
	length := rapid.IntRange(5, maxNameLength).Draw(t, "name length")
	for i := range rapid.IntRange(1, 300).Draw(t, "entries") {
		dir.Link(fmt.Sprintf("%0*d", length, i), &image.Inode{Mode: image.TypeRegular})
	}
}

func drawName(t *rapid.T) string {
	name := rapid.StringMatching(`[a-zA-Z0-9 ,+=é日._-]{1,24}`).Draw(t, "name")
	if strings.Trim(name, ".") == "" {
		name += "x"
	}
	n := rapid.SampledFrom([]int{1, 1, 1, 50}).Draw(t, "repeat")
	name = strings.Repeat(name, n)
	return name[:min(len(name), maxNameLength)]
}

func drawFile(t *rapid.T) *image.Inode {
	n := &image.Inode{
		Mode: rapid.Uint32Range(0, 0o7777).Draw(t, "permissions"),
		UID:  rapid.Uint32().Draw(t, "uid"),
		GID:  rapid.Uint32().Draw(t, "gid"),
		ModTime: image.Time{
			Sec:  rapid.Int64Range(minSeconds, maxSeconds).Draw(t, "seconds"),
			Nsec: rapid.Uint32Range(0, nanoseconds-1).Draw(t, "nanoseconds"),
		},
		Xattrs: drawXattrs(t),
	}
	kinds := []uint32{image.TypeRegular, image.TypeRegular, image.TypeRegular, image.TypeDir, image.TypeDir,
		image.TypeSymlink, image.TypeChar, image.TypeBlock, image.TypeFIFO, image.TypeSocket}
	kind := rapid.SampledFrom(kinds).Draw(t, "type")
	n.Mode |= kind
	switch kind {
	case image.TypeRegular:
		n.Order = rapid.Int64().Draw(t, "order")
		n.Content = drawContent(t)
	case image.TypeSymlink:
		n.Target = strings.Repeat("t", rapid.IntRange(1, blockSize-1).Draw(t, "target"))
	case image.TypeChar, image.TypeBlock:
		n.Major = rapid.Uint32Range(0, maxMajor).Draw(t, "major")
		n.Minor = rapid.Uint32Range(0, maxMinor).Draw(t, "minor")
	}
	return n
}

func drawContent(t *rapid.T) (content []extent.Extent) {
	for range rapid.IntRange(0, 12).Draw(t, "extents") {
		length := rapid.SampledFrom([]int64{1, 100, blockSize - 1, blockSize, blockSize + 1, 50_000}).Draw(t, "length")
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			content = append(content, holeExtent(length<<rapid.IntRange(0, 22).Draw(t, "shift")))
		case 1:
			content = append(content, inlineContent(strings.Repeat("i", int(length)))...)
		default:
			content = append(content, sourceExtent(rapid.Int64Range(0, 1<<40).Draw(t, "offset"), length))
		}
	}
	return content
}

func drawXattrs(t *rapid.T) (attrs []image.Xattr) {
	if rapid.IntRange(0, 2).Draw(t, "has attributes") != 0 {
		return nil
	}
	for i := range rapid.IntRange(0, 6).Draw(t, "attributes") {
		space := rapid.SampledFrom([]string{"security.", "trusted.", "user."}).Draw(t, "space")
		name := fmt.Sprintf("%s%s%d", space, strings.Repeat("n", rapid.IntRange(0, 50).Draw(t, "name")), i)
		value := rapid.SliceOfN(rapid.Byte(), 0, 500).Draw(t, "value")
		attrs = append(attrs, image.Xattr{Name: name, Value: value})
	}
	if rapid.IntRange(0, 3).Draw(t, "ACL") == 0 {
		attrs = append(attrs, image.Xattr{Name: "system.posix_acl_access", Value: fullACL()})
	}
	return attrs
}

// FuzzPlan makes a tree of bytes. The plan is refused for a reason, or it has
// the length it promises, starts with a superblock whose checksum is right, and
// reads every byte of content exactly once.
func FuzzPlan(f *testing.F) {
	f.Add([]byte{}, int64(0))
	f.Add([]byte("\x04dirs\x01\x00\x10\x05file!\x81\xff\x20link"), int64(64<<20))
	f.Add([]byte(strings.Repeat("\x81\x40\x07abcdefg", 300)), int64(1<<30))
	f.Fuzz(func(t *testing.T, data []byte, size int64) {
		tree, content := treeOfBytes(data)
		o := testOptions()
		o.Size = size % (1 << 40) // more takes seconds
		size = o.Size
		m, err := Plan(tree, o)
		if err != nil {
			checkRefusal(t, tree, o, err)
			return
		}
		if size != 0 && m.Size() != size {
			t.Fatalf("the map has %d bytes, want %d", m.Size(), size)
		}
		checkSuperblock(t, m)
		for _, e := range m.All() {
			if e.Kind == extent.Source {
				content -= e.Length
			}
		}
		if content != 0 {
			t.Fatalf("%d bytes of content are missing", content)
		}
	})
}

// treeOfBytes turns bytes into files: a byte for the kind, one for the size and
// one for the length of the name that follows. It returns how many bytes of
// source content the tree has.
func treeOfBytes(data []byte) (*image.Tree, int64) {
	tree := image.NewTree()
	dir, previous := tree.Root, (*image.Inode)(nil)
	var content int64
	for len(data) >= 3 {
		kind, size, n := data[0], int64(data[1]), min(int(data[2]), len(data)-3)
		name := string(data[3 : 3+n])
		data = data[3+n:]
		if dir.Lookup(name) != nil {
			continue
		}
		file := &image.Inode{Mode: uint32(kind) << 12 & image.TypeMask}
		switch file.Type() {
		case image.TypeRegular:
			for i := range size % 16 {
				file.Content = append(file.Content, sourceExtent(i<<20, 1+size*97), holeExtent(1+size<<(size%24)))
				content += 1 + size*97
			}
		case image.TypeSymlink:
			file.Target = strings.Repeat("t", int(size)*20)
		case image.TypeChar, image.TypeBlock:
			file.Major, file.Minor = uint32(size)*17, uint32(n)*5000
		}
		if kind >= 0xF0 && previous != nil {
			file = previous
		}
		dir.Link(name, file)
		previous = file
		if file.IsDir() && file.Links == 1 {
			dir = file
		}
	}
	return tree, content
}

// checkRefusal asserts that an error is one of those that Plan promises, and
// that the size it asks for is enough.
func checkRefusal(t *testing.T, tree *image.Tree, o Options, err error) {
	t.Helper()
	var small *TooSmallError
	switch {
	case errors.As(err, &small):
		o.Size = small.Need
		if _, err := Plan(tree, o); err != nil {
			t.Fatalf("%d bytes were said to be enough: %v", small.Need, err)
		}
	case !errors.Is(err, ErrTree) && !errors.Is(err, ErrOptions):
		t.Fatalf("unexpected error: %v", err)
	}
}

func checkSuperblock(t *testing.T, m *extent.Map) {
	t.Helper()
	b := make([]byte, superblockSize)
	if _, err := extent.NewReader(t.Context(), m, patternOpener{}).ReadAt(b, superblockOffset); err != nil {
		t.Fatal(err)
	}
	if magic := binary.LittleEndian.Uint16(b[0x38:]); magic != superblockMagic {
		t.Fatalf("magic %#x, want %#x", magic, superblockMagic)
	}
	sum := newChecksummer([16]byte{}, false).update(^uint32(0), b[:superblockSumAt])
	if got := binary.LittleEndian.Uint32(b[superblockSumAt:]); got != sum {
		t.Fatalf("superblock checksum %#x, want %#x", got, sum)
	}
}
