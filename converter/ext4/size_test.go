package ext4

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

func TestMinSizeIsEnoughAndLessIsNot(t *testing.T) {
	for name, c := range map[string]struct {
		tree   *image.Tree
		change func(*Options)
	}{
		"empty":           {image.NewTree(), func(*Options) {}},
		"every kind":      {everyKind(), func(*Options) {}},
		"free space":      {everyKind(), func(o *Options) { o.FreeSpace = 100 << 20 }},
		"many inodes":     {image.NewTree(), func(o *Options) { o.FreeInodes = 100_000 }},
		"low ratio":       {image.NewTree(), func(o *Options) { o.FreeSpace, o.InodeRatio = 1<<30, 1024 }},
		"journal":         {image.NewTree(), func(o *Options) { o.JournalSize = 50 << 20 }},
		"a split file":    {treeOf(map[string]*image.Inode{"a": splitFile()}), func(*Options) {}},
		"past two groups": {treeOf(map[string]*image.Inode{"a": regular(sourceExtent(0, 256<<20))}), func(*Options) {}},
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions()
			c.change(&o)
			size, err := MinSize(c.tree, o)
			if err != nil {
				t.Fatal(err)
			}
			if got := mustPlan(t, c.tree, o).Size(); got != size {
				t.Errorf("without a size the plan has %d bytes, MinSize says %d", got, size)
			}
			o.Size = size
			mustPlan(t, c.tree, o)
			o.Size = size - 1
			_, err = Plan(c.tree, o)
			var small *TooSmallError
			if !errors.As(err, &small) || small.Size != size-1 || small.Need != size {
				t.Errorf("with a byte less: %v, want a TooSmallError that asks for %d", err, size)
			}
		})
	}
}

// splitFile has as many extents as fit in an inode, and more once copies of the
// superblock stand in its way.
func splitFile() *image.Inode {
	var content []extent.Extent
	for i := range int64(extentsInInode) {
		content = append(content, sourceExtent(i<<30, 100<<20), holeExtent(blockSize))
	}
	return regular(content...)
}

func TestPlanKeepsTheFreeSpaceAskedFor(t *testing.T) {
	o := testOptions()
	o.FreeSpace, o.FreeInodes, o.ReservedPercent = 300<<20, 30_000, 1
	img := planImage(t, everyKind(), o)
	mustCheck(t, img)
	sum := summary(t, img)
	for key, least := range map[string]int64{"Free blocks": o.FreeSpace / blockSize, "Free inodes": o.FreeInodes} {
		if got, err := strconv.ParseInt(sum[key], 10, 64); err != nil || got < least || got > least+least/4 {
			t.Errorf("%s: %s, want at least %d and not many more", key, sum[key], least)
		}
	}
	blocks, _ := strconv.Atoi(sum["Block count"])
	if got := sum["Reserved block count"]; got != fmt.Sprint(blocks/100) {
		t.Errorf("%s of %d blocks are reserved, want 1%%", got, blocks)
	}
}

// Sizes around the borders of groups, where the last one may be too small to
// be kept.
func TestPlanOfOddSizes(t *testing.T) {
	tree := everyKind()
	minimum, err := MinSize(tree, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	const group = blocksPerGroup * blockSize
	sizes := []int64{minimum, minimum + 1, minimum + blockSize}
	for _, border := range []int64{group, 2 * group, 3 * group, 4 * group, 16 * group, 17 * group, 25 * group} {
		for _, more := range []int64{-1, 0, 1, blockSize, 100 * blockSize, 600 * blockSize, 700 * blockSize, group / 2} {
			sizes = append(sizes, border+more)
		}
	}
	for _, size := range sizes {
		o := testOptions()
		o.Size = size
		m := mustPlan(t, tree, o)
		if m.Size() != size {
			t.Fatalf("the map has %d bytes, want %d", m.Size(), size)
		}
		path := filepath.Join(t.TempDir(), "ext4.img")
		writeImage(t, path, m)
		mustCheck(t, path)
	}
}

func TestPlanOfManyGroups(t *testing.T) {
	for name, c := range map[string]struct {
		size    int64
		ratio   int64
		without Feature
	}{
		"20 GiB":                   {size: 20 << 30},
		"20 GiB, 32-bit":           {size: 20 << 30, without: SixtyFourBit},
		"100 GiB, most inodes":     {size: 100 << 30, ratio: 4096},
		"1 TiB and a bit":          {size: 1<<40 + 12345*blockSize},
		"200 GiB, no checksums":    {size: 200 << 30, without: MetadataChecksum, ratio: maxInodeRatio},
		"just under 129 GiB":       {size: 129<<30 - 1},
		"every inode there can be": {size: 4 << 30, ratio: 1024},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && c.size >= 200<<30 {
				t.Skip("e2fsck reads 200 GiB of bitmaps")
			}
			o := testOptions()
			o.Size, o.InodeRatio, o.Without = c.size, c.ratio, c.without
			tree := treeOf(map[string]*image.Inode{"f": regular(sourceExtent(0, 3<<20), holeExtent(8<<30), sourceExtent(1, 12345))})
			img := planImage(t, tree, o)
			mustCheck(t, img)
			mustHold(t, img, tree)
		})
	}
}

func TestPlanRefusesMoreThanExt4CanHave(t *testing.T) {
	tree := image.NewTree()
	for i := range 2 {
		tree.Root.Link(fmt.Sprint(i), regular(sourceExtent(0, 9<<40)))
	}
	if _, err := MinSize(tree, testOptions()); !errors.Is(err, ErrTree) {
		t.Fatalf("error %v, want one that wraps ErrTree", err)
	}
}

// A file of 60 GiB has more extents than its inode and one block below it
// without any hole can tell; one with a hole after every block has far more.
func TestPlanOfSparseAndHugeFiles(t *testing.T) {
	var holes []extent.Extent
	for i := range int64(4 * extentsPerBlock * 2) {
		holes = append(holes, sourceExtent(i*512, 100), holeExtent(2*blockSize-100))
	}
	tree := treeOf(map[string]*image.Inode{
		"four extents": regular(holes[:8]...),
		"five extents": regular(holes[:10]...),
		"one leaf":     regular(holes[:2*extentsPerBlock]...),
		"two leaves":   regular(holes[:2*extentsPerBlock+2]...),
		"four leaves":  regular(holes[:8*extentsPerBlock]...),
		"five leaves":  regular(holes[:8*extentsPerBlock+2]...),
		"two levels":   regular(holes...),
		"ends in hole": regular(append(holes[:20:20], holeExtent(1<<42))...),
		"starts late":  regular(holeExtent(maxFileBlocks*blockSize-1), sourceExtent(0, 1)),
	})
	img := planImage(t, tree, testOptions())
	mustCheck(t, img)
	mustHold(t, img, tree)
}

// The plan of a file of 60 GiB cannot be written; what e2fsck needs can.
func TestPlanOfAFileThatFillsManyGroups(t *testing.T) {
	const size = 60 << 30
	tree := treeOf(map[string]*image.Inode{"huge": regular(sourceExtent(0, size)), "tail": regular(sourceExtent(size, 1))})
	m := mustPlan(t, tree, testOptions())
	var metadata extent.Builder
	var length int64
	for _, e := range m.All() {
		if e.Kind == extent.Source {
			length += e.Length
			e = holeExtent(e.Length)
		}
		metadata.Extent(e)
	}
	if length != size+1 {
		t.Errorf("the plan has %d bytes of source extents, want %d", length, size+1)
	}
	bare, err := metadata.Build()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ext4.img")
	writeImage(t, path, bare)
	mustCheck(t, path)
	s := parseStat(t, debugfs(t, path, []string{"stat /huge"})[0])
	var blocks int64
	for _, b := range s.blocks {
		if b.logical != blocks {
			t.Fatalf("block %d of the file follows block %d", b.logical, blocks)
		}
		for _, at := range []int64{0, b.count - 1} {
			i := m.Find((b.physical + at) * blockSize)
			start, e := m.At(i)
			if want := (b.logical + at) * blockSize; e.Kind != extent.Source || e.Offset+(b.physical+at)*blockSize-start != want {
				t.Fatalf("block %d of the file is at %d, where the plan has %v", b.logical+at, b.physical+at, e)
			}
		}
		blocks += b.count
	}
	if blocks*blockSize != size {
		t.Errorf("%d blocks are mapped, want %d", blocks, size/blockSize)
	}
}

func TestResize2fsGrowsAndShrinks(t *testing.T) {
	tree := everyKind()
	for name, c := range map[string]struct {
		size    int64
		without Feature
	}{
		"small":             {size: 64 << 20},
		"two groups":        {size: 200 << 20},
		"odd last group":    {size: 5<<30 + 777*blockSize},
		"without checksums": {size: 300 << 20, without: MetadataChecksum},
		"without 64bit":     {size: 300 << 20, without: SixtyFourBit},
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions()
			o.Size, o.Without = c.size, c.without
			img := planImage(t, tree, o)
			for _, args := range [][]string{{img, fmt.Sprintf("%dK", 4*c.size>>10)}, {"-M", img}, {img, fmt.Sprintf("%dK", 2*c.size>>10)}} {
				if out, err := run2fs(t, "resize2fs", append([]string{"-f"}, args...)...); err != nil {
					t.Fatalf("resize2fs %s: %v\n%s", strings.Join(args, " "), err, out)
				}
				mustCheck(t, img)
				mustHold(t, img, tree)
			}
		})
	}
}
