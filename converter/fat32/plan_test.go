package fat32

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

const (
	mib = int64(1) << 20
	gib = int64(1) << 30

	// when is a time FAT can tell exactly: an even second.
	when = 1700000000
)

func needTools(t *testing.T) {
	t.Helper()
	convertertest.Need(t, "fsck.vfat", "dosfstools")
	convertertest.Need(t, "mcopy", "mtools")
}

// testTree makes trees out of paths.
type testTree struct {
	*image.Tree
	blobs convertertest.Blobs
	order int64
}

func newTestTree() *testTree {
	return &testTree{Tree: image.NewTree(), blobs: convertertest.Blobs{}}
}

// dir returns the directory at path, making what is missing of it.
func (t *testTree) dir(path string) *image.Inode {
	here := t.Root
	for _, name := range strings.FieldsFunc(path, func(r rune) bool { return r == '/' }) {
		next := here.Lookup(name)
		if next == nil {
			next = &image.Inode{Mode: image.TypeDir | 0o755, ModTime: image.Time{Sec: when}}
			here.Link(name, next)
		}
		here = next
	}
	return here
}

// file puts a file with that content at path.
func (t *testTree) file(path string, content []byte) *image.Inode {
	t.order++
	f := &image.Inode{Mode: image.TypeRegular | 0o644, ModTime: image.Time{Sec: when}, Order: t.order}
	if len(content) > 0 {
		f.Content = []extent.Extent{{Kind: extent.Source, Length: int64(len(content)), Digest: t.blobs.Add(content)}}
	}
	dir, name := filepath.Split(path)
	t.dir(dir).Link(name, f)
	return f
}

// esp is the kind of tree an EFI system partition holds.
func esp() *testTree {
	t := newTestTree()
	t.file("EFI/BOOT/BOOTX64.EFI", bytes.Repeat([]byte("monolithic grub "), 100_000))
	t.file("EFI/debian/grub.cfg", []byte("search --set=root --label root\n"))
	t.file("EFI/debian/shimx64.efi", bytes.Repeat([]byte{0x4d}, 4096))
	t.file("loader/entries/debian-6.1.0-18-cloud-amd64.conf", []byte("title Debian\n"))
	t.file("loader/random-seed", nil)
	t.file("Ünïcode ☁ 𝄞 name with spaces.txt", []byte("hello"))
	t.file(".hidden", []byte("dot"))
	t.file("a+b=c;d,e[f].tar.gz", []byte("signs"))
	t.dir("empty directory")
	return t
}

func planFile(t convertertest.TB, tree *testTree, opts Options, path string) *extent.Map {
	t.Helper()
	m, err := Plan(tree.Tree, opts)
	if err != nil {
		t.Fatalf("Plan: %v", err)
	}
	convertertest.WriteFile(t, m, tree.blobs, path)
	return m
}

// checkImage asks fsck.vfat whether the filesystem is sound and mtools whether
// it holds the tree: the same names, content and times.
func checkImage(t convertertest.TB, tree *testTree, dir, path string) {
	t.Helper()
	// fsck.vfat only talks of differences between the boot sector and its backup.
	if out := convertertest.Run(t, "fsck.vfat", "-n", path); strings.Count(out, "\n") > 2 {
		t.Fatalf("fsck.vfat finds fault:\n%s", out)
	}
	out := filepath.Join(dir, "out")
	if err := errors.Join(os.RemoveAll(out), os.Mkdir(out, 0o700)); err != nil {
		t.Fatalf("%v", err)
	}
	if len(tree.Root.Names()) > 0 {
		convertertest.Run(t, "mcopy", "-s", "-m", "-n", "-Q", "-i", path, "::*", out)
	}
	want, got := describeTree(t, tree), describeDir(t, out)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			t.Fatalf("%q reads as %.200q, want %.200q", name, got[name], want[name])
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Fatalf("the filesystem holds too much: %q", slices.Sorted(maps.Keys(got)))
	}
}

// describeTree returns for each path "dir", or time and content of the file.
func describeTree(t convertertest.TB, tree *testTree) map[string]string {
	result := make(map[string]string)
	for path, inode := range tree.Walk() {
		name := mtoolsName(path)
		switch {
		case path == "":
		case inode.IsDir():
			result[name] = "dir"
		default:
			m, err := inode.Map()
			if err != nil {
				t.Fatalf("content of %q: %v", path, err)
			}
			result[name] = fmt.Sprintf("%d %s", inode.ModTime.Sec, convertertest.Bytes(t, m, tree.blobs))
		}
	}
	return result
}

// mtoolsName returns how mtools writes a name: it knows no characters that take
// two UTF-16 code units.
func mtoolsName(name string) string {
	var b strings.Builder
	for _, c := range name {
		if utf16.RuneLen(c) == 2 {
			b.WriteString("__")
		} else {
			b.WriteRune(c)
		}
	}
	return b.String()
}

func describeDir(t convertertest.TB, dir string) map[string]string {
	result := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if d.IsDir() {
			result[name] = "dir"
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		result[name] = fmt.Sprintf("%d %s", info.ModTime().Unix(), content)
		return err
	})
	if err != nil {
		t.Fatalf("walk %s: %v", dir, err)
	}
	return result
}

func TestPlanIsWhatFsckAndMtoolsExpect(t *testing.T) {
	needTools(t)
	tests := []struct {
		name string
		tree *testTree
		opts Options
	}{
		{"empty", newTestTree(), Options{}},
		{"empty with a label", newTestTree(), Options{Label: "EFI"}},
		{"esp", esp(), Options{Label: "ESP 1", Serial: 0x1234abcd}},
		{"64 MiB", esp(), Options{Size: 64 * mib}},
		{"odd size", esp(), Options{Size: 64*mib + 512}},
		{"256 MiB", esp(), Options{Size: 256 * mib}},
		{"largest clusters", esp(), Options{ClusterSize: maxCluster}},
		{"10 GiB", esp(), Options{Size: 10 * gib}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "fat")
			planFile(t, test.tree, test.opts, path)
			checkImage(t, test.tree, dir, path)
		})
	}
}

func TestLargestFilesystem(t *testing.T) {
	needTools(t)
	if testing.Short() {
		t.Skip("fsck reads FATs of 512 MiB")
	}
	tree, dir := esp(), t.TempDir()
	path := filepath.Join(dir, "fat")
	planFile(t, tree, Options{Size: maxSectors * sectorSize}, path)
	checkImage(t, tree, dir, path)
}

func TestPlanSaysWhatWasAsked(t *testing.T) {
	needTools(t)
	path := filepath.Join(t.TempDir(), "fat")
	planFile(t, esp(), Options{Size: 64 * mib, ClusterSize: 512, Label: "CLOUDLETS", Serial: 0x1234abcd}, path)
	info := convertertest.Run(t, "minfo", "-i", path)
	for _, want := range []string{
		`serial number: 1234ABCD`, `disk label="CLOUDLETS  "`, `disk type="FAT32   "`, `backup boot sector=6`,
		`big size: 131072 sectors`, `free clusters=`, `Infosector:`,
	} {
		if !strings.Contains(info, want) {
			t.Errorf("minfo lacks %q:\n%s", want, info)
		}
	}
	list := convertertest.Run(t, "mdir", "-/", "-b", "-i", path)
	for _, want := range []string{"::/EFI/BOOT/BOOTX64.EFI\n", "::/EFI/debian/grub.cfg\n", "::/.hidden\n"} {
		if !strings.Contains(list, want) {
			t.Errorf("mdir lacks %q:\n%s", want, list)
		}
	}
	if strings.Contains(convertertest.Run(t, "mdir", "-i", path, "::/EFI/BOOT"), "BOOTX64~") {
		t.Error("a name that fits got a numeric tail")
	}
}

func TestFilesAreInOnePieceInLayerOrder(t *testing.T) {
	tree := newTestTree()
	third := tree.file("a/z", bytes.Repeat([]byte("3"), 70_000))
	first := tree.file("z/a", bytes.Repeat([]byte("1"), 70_000))
	second := tree.file("m", bytes.Repeat([]byte("2"), 70_000))
	third.Order, first.Order, second.Order = 30, 10, 20
	m, err := Plan(tree.Tree, Options{Size: 64 * mib})
	if err != nil {
		t.Fatal(err)
	}
	var got []extent.Digest
	for start, e := range m.All() {
		if e.Kind == extent.Source {
			got = append(got, e.Digest)
			if e.Length != 70_000 || start%512 != 0 {
				t.Errorf("a file of 70000 bytes is at %d with %d bytes", start, e.Length)
			}
		}
	}
	want := []extent.Digest{first.Content[0].Digest, second.Content[0].Digest, third.Content[0].Digest}
	if !slices.Equal(got, want) {
		t.Errorf("files are in the order %v, want %v", got, want)
	}
}

func TestTimesAreClamped(t *testing.T) {
	tests := []struct {
		sec  int64
		want string
	}{
		{-1 << 62, "1980-01-01T00:00:00"},
		{0, "1980-01-01T00:00:00"},
		{minTime - 1, "1980-01-01T00:00:00"},
		{when, "2023-11-14T22:13:20"},
		{when + 3, "2023-11-14T22:13:23"},
		{maxTime, "2107-12-31T23:59:59"},
		{1 << 62, "2107-12-31T23:59:59"},
	}
	for _, test := range tests {
		date, clock, tenMillis := fatTime(image.Time{Sec: test.sec, Nsec: 999_999_999})
		got := time.Date(1980+int(date>>9), time.Month(date>>5&15), int(date&31),
			int(clock>>11), int(clock>>5&63), int(clock&31)*2+int(tenMillis)/100, 0, time.UTC)
		if text := got.Format("2006-01-02T15:04:05"); text != test.want {
			t.Errorf("fatTime(%d) = %s, want %s", test.sec, text, test.want)
		}
	}
}

func TestMinSizeIsTheLeastThatPlans(t *testing.T) {
	needTools(t)
	large := esp()
	large.Root.Link("large", &image.Inode{Mode: image.TypeRegular, Content: []extent.Extent{{Length: 40*mib + 1}}, ModTime: image.Time{Sec: when}})
	for name, tree := range map[string]*testTree{"empty": newTestTree(), "esp": esp(), "large": large} {
		for _, clusterSize := range []int{0, 512, 4096, maxCluster} {
			t.Run(fmt.Sprint(name, clusterSize), func(t *testing.T) {
				opts := Options{ClusterSize: clusterSize}
				size, err := MinSize(tree.Tree, opts)
				if err != nil {
					t.Fatal(err)
				}
				dir := t.TempDir()
				path := filepath.Join(dir, "fat")
				if m := planFile(t, tree, opts, path); m.Size() != size {
					t.Errorf("Plan without a size makes %d bytes, MinSize says %d", m.Size(), size)
				}
				checkImage(t, tree, dir, path)
				opts.Size = size - int64(max(clusterSize, sectorSize))
				if _, err := Plan(tree.Tree, opts); !errors.Is(err, ErrTooSmall) || !strings.Contains(err.Error(), fmt.Sprint("at least ", size)) {
					t.Errorf("one cluster less: error %v, want ErrTooSmall naming %d", err, size)
				}
			})
		}
	}
}

func TestClusterSizeLeavesEnoughClusters(t *testing.T) {
	for size, want := range map[int64]int64{
		34 * mib: 512, 64 * mib: 512, 128 * mib: 1024, 256 * mib: 2048, 512 * mib: 4096, 8 * gib: 4096, 10 * gib: 8192, gib << 10: maxCluster,
	} {
		g, err := chooseGeometry(&files{}, size, 0)
		if err != nil {
			t.Errorf("%d bytes: %v", size, err)
		} else if g.clusterSize() != want || g.clusters < minClusters {
			t.Errorf("%d bytes get %d clusters of %d bytes, want %d", size, g.clusters, g.clusterSize(), want)
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	tests := []struct {
		name string
		tree func(*testTree)
		opts Options
		want string
	}{
		{"a symbolic link", func(t *testTree) {
			t.dir("EFI").Link("link", &image.Inode{Mode: image.TypeSymlink | 0o777, Target: "x"})
		}, Options{}, `"/EFI/link" is of type 120000`},
		{"names that differ in case", func(t *testTree) { t.file("EFI/a", nil); t.file("EFI/A", nil) }, Options{}, `directory "/EFI/": names "A" and "a"`},
		{"names that differ in the case of other letters", func(t *testTree) { t.file("é", nil); t.file("É", nil) }, Options{}, "upper from lower"},
		{"a dot at the end", func(t *testTree) { t.file("a.", nil) }, Options{}, "dots and spaces at the end"},
		{"a space at the end", func(t *testTree) { t.file("a ", nil) }, Options{}, "dots and spaces at the end"},
		{"a parent", func(t *testTree) { t.Root.Link("..", &image.Inode{Mode: image.TypeRegular}) }, Options{}, "dots and spaces at the end"},
		{"a colon", func(t *testTree) { t.file("a:b", nil) }, Options{}, `no ':'`},
		{"a control character", func(t *testTree) { t.file("a\nb", nil) }, Options{}, `no '\n'`},
		{"a long name", func(t *testTree) { t.file(strings.Repeat("é", 256), nil) }, Options{}, "at most 255"},
		{"a name in another code", func(t *testTree) { t.file("\xe9", nil) }, Options{}, "valid UTF-8"},
		{"a file of 4 GiB", func(t *testTree) { t.file("a", nil).Content = []extent.Extent{{Length: 4 * gib}} }, Options{}, "at most 4294967295"},
		{"too many names", func(t *testTree) {
			for i := range 20_000 {
				t.file(fmt.Sprintf("dir/a name that takes four entries %06d", i), nil)
			}
		}, Options{}, "FAT allows 65536"},
		{"a small size", nil, Options{Size: 16 * mib}, "want at least"},
		{"an odd size", nil, Options{Size: 64*mib + 1}, "multiple of 512"},
		{"a negative size", nil, Options{Size: -512}, "multiple of 512"},
		{"a size over 2 TiB", nil, Options{Size: 2048 * gib}, "at most"},
		{"too many clusters", nil, Options{Size: 1024 * gib, ClusterSize: 512}, "choose larger ones"},
		{"an odd cluster size", nil, Options{ClusterSize: 1000}, "power of two"},
		{"a large cluster size", nil, Options{ClusterSize: 64 << 10}, "power of two"},
		{"a long label", nil, Options{Label: "TWELVE BYTES"}, "at most 11"},
		{"a label in lower case", nil, Options{Label: "efi"}, "upper-case"},
		{"a label with space at its end", nil, Options{Label: "EFI "}, "no space"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tree := newTestTree()
			if test.tree != nil {
				test.tree(tree)
			}
			_, err := Plan(tree.Tree, test.opts)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestLargeDirectory(t *testing.T) {
	needTools(t)
	if testing.Short() {
		t.Skip("copies ten thousand files")
	}
	tree := newTestTree()
	for i := range 10_000 {
		tree.file(fmt.Sprintf("dir/a long name %06d", i), nil)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "fat")
	planFile(t, tree, Options{}, path)
	checkImage(t, tree, dir, path)
}

func drawTree(t *rapid.T) *testTree {
	tree := newTestTree()
	name := rapid.OneOf(
		rapid.StringMatching(`[A-Z0-9]{1,9}(\.[A-Z]{1,4})?`),
		rapid.StringMatching(`[a-zA-Z0-9 .~_+é☁𝄞-]{1,40}`),
		rapid.StringMatching(`[a-c]{20,200}`),
		rapid.StringMatching(`[aA]{1,9}~[0-9]`),
	).Filter(func(s string) bool { return checkName(s) == nil && !strings.HasPrefix(s, "-") })
	dirs := []string{""}
	for range rapid.IntRange(0, 25).Draw(t, "files") {
		parent := rapid.SampledFrom(dirs).Draw(t, "parent")
		base := name.Draw(t, "name")
		if checkNames(append(slices.Clone(tree.dir(parent).Names()), base)) != nil {
			continue
		}
		path := parent + base
		if rapid.Bool().Draw(t, "directory") {
			tree.dir(path)
			dirs = append(dirs, path+"/")
			continue
		}
		content := rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(t, "content")
		f := tree.file(path, content)
		f.Order = rapid.Int64Range(0, 5).Draw(t, "order")
		f.ModTime.Sec = when + 2*rapid.Int64Range(-100_000, 1_000_000).Draw(t, "time")
		if rapid.Bool().Draw(t, "hole") {
			f.Content = append(f.Content, extent.Extent{Length: rapid.Int64Range(1, 10_000).Draw(t, "holeLength")})
		}
	}
	return tree
}

func TestPlanAnyTree(t *testing.T) {
	needTools(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "fat")
	rapid.Check(t, func(t *rapid.T) {
		tree := drawTree(t)
		opts := Options{
			ClusterSize: rapid.SampledFrom([]int{0, 512, 1024}).Draw(t, "clusterSize"),
			Label:       rapid.StringMatching(`([A-Z0-9]{1,11})?`).Draw(t, "label"),
			Serial:      rapid.Uint32().Draw(t, "serial"),
		}
		planFile(t, tree, opts, path)
		checkImage(t, tree, dir, path)
		checkShortNames(t, convertertest.Run(t, "mdir", "-a", "-i", path, "::"))
	})
}

// checkShortNames looks for short names that two files of a directory share.
func checkShortNames(t convertertest.TB, listing string) {
	seen := make(map[string]bool)
	for _, line := range regexp.MustCompile(`(?m)^(\S.{11}) +(<DIR>|\d+) `).FindAllStringSubmatch(listing, -1) {
		if seen[line[1]] {
			t.Fatalf("two files have the short name %q:\n%s", line[1], listing)
		}
		seen[line[1]] = true
	}
}
