package ext4

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// everyKind returns a tree with a file of every type and every odd attribute.
func everyKind() *image.Tree {
	shared := regular(inlineContent("many names")...)
	owned := regular(inlineContent("owned")...)
	owned.Mode = image.TypeRegular | 0o6755
	owned.UID, owned.GID = 70000, 4_000_000_000
	return treeOf(map[string]*image.Inode{
		"empty":                                  regular(),
		"small":                                  regular(inlineContent("hello\n")...),
		"one-block":                              regular(sourceExtent(7, blockSize)),
		"odd":                                    regular(sourceExtent(1, 10_001)),
		"pieces":                                 regular(append(inlineContent("abc"), sourceExtent(5, 5000), holeExtent(100), sourceExtent(1, 1))...),
		"hole/start":                             regular(holeExtent(3*blockSize+1), sourceExtent(0, 10)),
		"hole/end":                               regular(sourceExtent(0, 10), holeExtent(10*blockSize)),
		"hole/only":                              regular(holeExtent(12345)),
		"hole/unaligned":                         regular(sourceExtent(0, 100), holeExtent(2*blockSize), sourceExtent(9, 100)),
		"hole/in-two":                            regular(sourceExtent(0, blockSize), holeExtent(1000), holeExtent(blockSize-1000), sourceExtent(0, 1)),
		"names/a":                                shared,
		"names/b":                                shared,
		"names/deep/c":                           shared,
		"owned":                                  owned,
		"link/fast":                              symlink(strings.Repeat("f", 59)),
		"link/slow":                              symlink(strings.Repeat("s", 60)),
		"link/slowest":                           symlink(strings.Repeat("x", 4095)),
		"dev/null":                               device(image.TypeChar, 1, 3),
		"dev/new":                                device(image.TypeBlock, 259, 65537),
		"dev/top":                                device(image.TypeChar, maxMajor, maxMinor),
		"dev/fifo":                               {Mode: image.TypeFIFO | 0o600},
		"dev/socket":                             {Mode: image.TypeSocket | 0o755},
		"time/1901":                              {Mode: image.TypeRegular, ModTime: image.Time{Sec: minSeconds, Nsec: 1}},
		"time/1969":                              {Mode: image.TypeRegular, ModTime: image.Time{Sec: -1, Nsec: 999_999_999}},
		"time/2038":                              {Mode: image.TypeRegular, ModTime: image.Time{Sec: 1 << 31, Nsec: 5}},
		"time/2106":                              {Mode: image.TypeRegular, ModTime: image.Time{Sec: 1 << 32}},
		"time/2446":                              {Mode: image.TypeRegular, ModTime: image.Time{Sec: maxSeconds}},
		strings.Repeat("n", 255):                 regular(inlineContent("long name")...),
		strings.Repeat("d/", 10) + "deep":        regular(inlineContent("deep path")...),
		"names/\xff\xfe bytes that are no UTF-8": regular(),
	})
}

func TestPlanHoldsEveryKindOfFile(t *testing.T) {
	for name, without := range map[string]Feature{
		"default":           0,
		"without checksums": MetadataChecksum,
		"without 64bit":     SixtyFourBit,
		"without a journal": Journal,
		"without any":       MetadataChecksum | SixtyFourBit | Journal,
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions()
			o.Without = without
			o.Size = 64 << 20
			tree := everyKind()
			img := planImage(t, tree, o)
			mustCheck(t, img)
			mustHold(t, img, tree)
		})
	}
}

func TestPlanTakesTheNearestTimeExt4CanHold(t *testing.T) {
	tree := treeOf(map[string]*image.Inode{
		"early": {Mode: image.TypeRegular, ModTime: image.Time{Sec: -1 << 40, Nsec: 7}},
		"late":  {Mode: image.TypeRegular, ModTime: image.Time{Sec: 1 << 40, Nsec: 7}},
	})
	img := planImage(t, tree, testOptions())
	mustCheck(t, img)
	stats := debugfs(t, img, []string{"stat /early", "stat /late"})
	if got, want := parseStat(t, stats[0]).time, (image.Time{Sec: minSeconds}); got != want {
		t.Errorf("early: %v, want %v", got, want)
	}
	if got, want := parseStat(t, stats[1]).time, (image.Time{Sec: maxSeconds}); got != want {
		t.Errorf("late: %v, want %v", got, want)
	}
}

func TestPlanOfADeepTree(t *testing.T) {
	tree := treeOf(map[string]*image.Inode{strings.Repeat("d/", 300) + "deep": regular(inlineContent("deep path")...)})
	img := planImage(t, tree, testOptions())
	mustCheck(t, img)
	mustHold(t, img, tree)
}

func TestPlanOfAnEmptyTree(t *testing.T) {
	tree := image.NewTree()
	img := planImage(t, tree, testOptions())
	mustCheck(t, img)
	mustHold(t, img, tree)
}

func TestPlanIsDeterministic(t *testing.T) {
	a, b := mustPlan(t, everyKind(), testOptions()), mustPlan(t, everyKind(), testOptions())
	if a.Size() != b.Size() || a.Len() != b.Len() {
		t.Fatalf("two plans of one tree: %d bytes in %d extents and %d bytes in %d", a.Size(), a.Len(), b.Size(), b.Len())
	}
	for i := range a.Len() {
		_, x := a.At(i)
		_, y := b.At(i)
		if x.Kind != y.Kind || x.Length != y.Length || x.Offset != y.Offset || !bytes.Equal(x.Data, y.Data) {
			t.Fatalf("two plans of one tree differ in extent %d", i)
		}
	}
}

func TestPlanReadsContentInTheOrderOfTheLayers(t *testing.T) {
	tree := image.NewTree()
	for i := range 100 {
		f := regular(sourceExtent(int64(i)*10_000, 9000))
		f.Order = int64(i)
		tree.Root.Link(fmt.Sprintf("%02d", (i*37)%100), f)
	}
	last := int64(-1)
	for _, e := range mustPlan(t, tree, testOptions()).All() {
		if e.Kind != extent.Source {
			continue
		}
		if e.Offset < last {
			t.Fatalf("offset %d comes after %d", e.Offset, last)
		}
		last = e.Offset
	}
}

func TestPlanHasTheFeaturesOfMke2fs(t *testing.T) {
	o := testOptions()
	o.Size = 3 << 30
	img, reference := planImage(t, image.NewTree(), o), mke2fs(t, o)
	got, want := summary(t, img), summary(t, reference)
	for key, w := range want {
		if got[key] != w {
			t.Errorf("%s: %q, mke2fs makes %q", key, got[key], w)
		}
	}
}

// summary returns what dumpe2fs says about a filesystem, without what is meant
// to differ from one to another.
func summary(t *testing.T, path string) map[string]string {
	t.Helper()
	out, err := run2fs(t, "dumpe2fs", "-h", path)
	if err != nil {
		t.Fatalf("dumpe2fs: %v\n%s", err, out)
	}
	fields := make(map[string]string)
	for line := range strings.SplitSeq(out, "\n") {
		key, value, _ := strings.Cut(line, ":")
		fields[key] = strings.TrimSpace(value)
	}
	for _, key := range []string{"Filesystem UUID", "Filesystem created", "Last write time", "Last checked",
		"Lifetime writes", "Directory Hash Seed", "Checksum"} {
		delete(fields, key)
	}
	return fields
}

func TestPlanKeepsALostAndFoundOfTheTree(t *testing.T) {
	lost := directoryInode()
	lost.Mode, lost.UID = image.TypeDir|0o700, 7
	tree := treeOf(map[string]*image.Inode{"lost+found": lost, "a": regular()})
	for i := range 500 {
		lost.Link(fmt.Sprintf("#%040d", i), regular())
	}
	img := planImage(t, tree, testOptions())
	mustCheck(t, img)
	mustHold(t, img, tree)
}

func TestPlanRefusesWhatExt4CannotHold(t *testing.T) {
	twice := directoryInode()
	many := regular()
	crowd := directoryInode()
	for i := range maxLinks + 1 {
		crowd.Link(fmt.Sprint(i), many)
	}
	big := withXattrs(regular(), image.Xattr{Name: "user.big", Value: make([]byte, 5000)})
	for name, tree := range map[string]*image.Tree{
		"a long name":            treeOf(map[string]*image.Inode{"sub/" + strings.Repeat("n", 256): regular()}),
		"a name with a zero":     treeOf(map[string]*image.Inode{"sub/a\x00b": regular()}),
		"a name that is a dot":   treeOf(map[string]*image.Inode{"sub/..": regular()}),
		"a directory twice":      treeOf(map[string]*image.Inode{"sub/a": twice, "sub/b": twice}),
		"many links":             treeOf(map[string]*image.Inode{"sub/crowd": crowd}),
		"no type":                treeOf(map[string]*image.Inode{"sub/a": {Mode: 0o644}}),
		"mode bits":              treeOf(map[string]*image.Inode{"sub/a": {Mode: 1<<16 | image.TypeRegular}}),
		"nanoseconds":            treeOf(map[string]*image.Inode{"sub/a": {Mode: image.TypeRegular, ModTime: image.Time{Nsec: 1e9}}}),
		"a link to nothing":      treeOf(map[string]*image.Inode{"sub/a": symlink("")}),
		"a long link":            treeOf(map[string]*image.Inode{"sub/a": symlink(strings.Repeat("x", 4096))}),
		"a high device":          treeOf(map[string]*image.Inode{"sub/a": device(image.TypeChar, maxMajor+1, 0)}),
		"big attributes":         treeOf(map[string]*image.Inode{"sub/a": big}),
		"a foreign attribute":    treeOf(map[string]*image.Inode{"sub/a": withXattrs(regular(), image.Xattr{Name: "system.nfs4_acl"})}),
		"a nameless attribute":   treeOf(map[string]*image.Inode{"sub/a": withXattrs(regular(), image.Xattr{Name: "user."})}),
		"a short ACL":            treeOf(map[string]*image.Inode{"sub/a": withXattrs(regular(), image.Xattr{Name: "system.posix_acl_access", Value: []byte{2, 0, 0}})}),
		"an ACL of version 1":    treeOf(map[string]*image.Inode{"sub/a": withXattrs(regular(), image.Xattr{Name: "system.posix_acl_access", Value: []byte{1, 0, 0, 0}})}),
		"an ACL of unknown tags": treeOf(map[string]*image.Inode{"sub/a": withXattrs(regular(), image.Xattr{Name: "system.posix_acl_access", Value: acl([3]uint32{3, 0, 0})})}),
		"an empty extent":        treeOf(map[string]*image.Inode{"sub/a": regular(holeExtent(0))}),
		"a huge file":            treeOf(map[string]*image.Inode{"sub/a": regular(holeExtent(1 << 44))}),
		"a lost+found file":      treeOf(map[string]*image.Inode{"lost+found": regular(), "sub/a": regular()}),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Plan(tree, testOptions())
			if !errors.Is(err, ErrTree) {
				t.Fatalf("error %v, want one that wraps ErrTree", err)
			}
			if !strings.Contains(err.Error(), "/sub/") && !strings.Contains(err.Error(), "/lost+found") {
				t.Errorf("the error does not name the path: %v", err)
			}
		})
	}
}

func TestPlanRefusesBadOptions(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"no UUID":         func(o *Options) { o.UUID = [16]byte{} },
		"negative size":   func(o *Options) { o.Size = -1 },
		"huge size":       func(o *Options) { o.Size = maxSize + 1 },
		"negative space":  func(o *Options) { o.FreeSpace = -1 },
		"reserve":         func(o *Options) { o.ReservedPercent = 51 },
		"low ratio":       func(o *Options) { o.InodeRatio = 1023 },
		"negative inodes": func(o *Options) { o.FreeInodes = -1 },
		"small journal":   func(o *Options) { o.JournalSize = 4<<20 - 1 },
		"long label":      func(o *Options) { o.Label = strings.Repeat("l", 17) },
		"time":            func(o *Options) { o.Time.Nsec = 1e9 },
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions()
			change(&o)
			if _, err := Plan(image.NewTree(), o); !errors.Is(err, ErrOptions) {
				t.Fatalf("Plan: error %v, want one that wraps ErrOptions", err)
			}
			if _, err := MinSize(image.NewTree(), o); !errors.Is(err, ErrOptions) {
				t.Fatalf("MinSize: error %v, want one that wraps ErrOptions", err)
			}
		})
	}
}
