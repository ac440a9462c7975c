package fat32

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

const diskDigest extent.Digest = "sha256:disk"

// mkfs makes a filesystem of some KiB and copies the files of a tree into it,
// between others that are removed again, so that files are in pieces.
func mkfs(t testing.TB, kib int, args ...string) string {
	t.Helper()
	convertertest.Need(t, "mkfs.vfat", "dosfstools")
	convertertest.Need(t, "mcopy", "mtools")
	dir := t.TempDir()
	path, files := filepath.Join(dir, "fat.img"), filepath.Join(dir, "files")
	convertertest.Run(t, "mkfs.vfat", append(args, "-i", "12345678", "-C", path, fmt.Sprint(kib))...)
	content := map[string]string{
		"LOADER.BIN": strings.Repeat("loader", 700), "lower.txt": "x", "Mixed Case, and quite a long name.txt": strings.Repeat("mixed", 999),
		"empty": "", "umlaute äöü 日本 😀": "names", "dir/sub/deep.cfg": "set root", "README.md": "read", "a.b.c.d": "dots", ".hidden": "h",
	}
	for i := range 40 {
		content[fmt.Sprintf("many/file with a long name %d", i)] = strings.Repeat("m", i*100)
	}
	for name, text := range content {
		if err := errors.Join(os.MkdirAll(filepath.Join(files, filepath.Dir(name)), 0o755), os.WriteFile(filepath.Join(files, name), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	var gaps, even []string
	for i := range 20 {
		gaps = append(gaps, filepath.Join(dir, fmt.Sprint("gap", i)))
		if err := os.WriteFile(gaps[i], []byte("gap"), 0o600); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			even = append(even, fmt.Sprint("::gap", i))
		}
	}
	convertertest.Run(t, "mcopy", append(append([]string{"-i", path}, gaps...), "::")...)
	convertertest.Run(t, "mdel", append([]string{"-i", path}, even...)...)
	all, err := filepath.Glob(filepath.Join(files, "*"))
	if err != nil {
		t.Fatal(err)
	}
	convertertest.Run(t, "mcopy", append(append([]string{"-s", "-m", "-i", path}, all...), "::")...)
	convertertest.Run(t, "mattrib", "+r", "-i", path, "::LOADER.BIN")
	return path
}

func openImage(t testing.TB, path string) (*image.Tree, convertertest.File) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := Open(bytes.NewReader(b), int64(len(b)), diskDigest)
	if err != nil {
		t.Fatal(err)
	}
	return tree, convertertest.File{ReaderAt: bytes.NewReader(b), Length: int64(len(b))}
}

// variants are filesystems of every width.
var variants = map[string]struct {
	kib  int
	args []string
}{
	"FAT12":                   {1440, []string{"-F", "12"}},
	"FAT12, one FAT":          {2000, []string{"-F", "12", "-f", "1"}},
	"FAT16":                   {20000, []string{"-F", "16"}},
	"FAT16, large sectors":    {200000, []string{"-F", "16", "-S", "2048"}},
	"FAT32":                   {70000, []string{"-F", "32"}},
	"FAT32, 8 KiB clusters":   {700000, []string{"-F", "32", "-s", "16"}},
	"FAT32, large sectors":    {400000, []string{"-F", "32", "-S", "4096"}},
	"FAT16, many in its root": {20000, []string{"-F", "16", "-r", "1024"}},
}

func TestOpenReadsWhatOthersRead(t *testing.T) {
	for name, v := range variants {
		t.Run(name, func(t *testing.T) {
			path := mkfs(t, v.kib, v.args...)
			tree, file := openImage(t, path)
			t.Run("mtools", func(t *testing.T) { sameAsMtools(t, path, tree, file) })
			t.Run("Linux", func(t *testing.T) {
				got := convertertest.ListTree(t, tree, file)
				want := convertertest.ListDir(t, convertertest.Mount(t, path, "vfat"))
				isRoot := func(line string) bool { return strings.HasPrefix(line, "/ ") } // it has no time
				convertertest.SameListing(t, slices.DeleteFunc(got, isRoot), slices.DeleteFunc(want, isRoot))
			})
		})
	}
}

// sameAsMtools compares names and content with what mtools copies out of a
// filesystem.
func sameAsMtools(t *testing.T, path string, tree *image.Tree, file convertertest.File) {
	t.Helper()
	out := t.TempDir()
	convertertest.Run(t, "mcopy", "-s", "-m", "-n", "-i", path, "::*", out)
	for path, n := range tree.Walk() {
		info, err := os.Lstat(filepath.Join(out, path))
		if err != nil || info.IsDir() != n.IsDir() {
			t.Fatalf("/%s: %v", path, err)
		}
		if n.IsDir() {
			continue
		}
		want, err := os.ReadFile(filepath.Join(out, path))
		if err != nil {
			t.Fatal(err)
		}
		got, err := n.Read(t.Context(), file, 1<<20)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("/%s: %d bytes, want %d: %v", path, len(got), len(want), err)
		}
	}
}

// What is planned is read again, as far as FAT can keep it.
func TestOpenReadsWhatIsPlanned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		planned := drawTree(t)
		m, err := Plan(planned.Tree, Options{Size: 40 * mib})
		if err != nil {
			t.Fatal(err)
		}
		tree, err := Open(extent.NewReader(t.Context(), m, planned.blobs), m.Size(), diskDigest)
		if err != nil {
			t.Fatal(err)
		}
		content := convertertest.File{ReaderAt: extent.NewReader(t.Context(), m, planned.blobs), Length: m.Size()}
		convertertest.SameListing(t, namesAndContent(t, tree, content), namesAndContent(t, planned.Tree, planned.blobs))
	})
}

// namesAndContent lists the names of a tree and the content of its files.
func namesAndContent(t *rapid.T, tree *image.Tree, open extent.Opener) []string {
	var lines []string
	for path, n := range tree.Walk() {
		if n.IsDir() {
			lines = append(lines, path+"/")
			continue
		}
		content, err := n.Read(t.Context(), open, 1<<30)
		if err != nil {
			t.Fatalf("/%s: %v", path, err)
		}
		lines = append(lines, fmt.Sprintf("%s %d %x", path, len(content), content[:min(len(content), 100)]))
	}
	slices.Sort(lines)
	return lines
}

// victim is a FAT16 filesystem with the files A and B of three clusters, the
// directory D and the link E to nowhere, whose structures are changed.
type victim struct {
	b          []byte
	fat, root  int
	clusterLen int
}

func newVictim(t testing.TB) victim {
	t.Helper()
	convertertest.Need(t, "mkfs.vfat", "dosfstools")
	dir := t.TempDir()
	path, file := filepath.Join(dir, "fat.img"), filepath.Join(dir, "file")
	if err := os.WriteFile(file, bytes.Repeat([]byte("f"), 6000), 0o600); err != nil {
		t.Fatal(err)
	}
	convertertest.Run(t, "mkfs.vfat", "-F", "16", "-s", "4", "-i", "12345678", "-C", path, "9000")
	for _, name := range []string{"A", "B", "a long name.txt"} {
		convertertest.Run(t, "mcopy", "-i", path, file, "::"+name)
	}
	convertertest.Run(t, "mmd", "-i", path, "::D", "::D/D2")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	fat := int(le.Uint16(b[14:])) * sectorSize
	return victim{b: b, fat: fat, root: fat + int(b[16])*int(le.Uint16(b[fatSectors16:]))*sectorSize, clusterLen: 4 * sectorSize}
}

// entry returns where the entry of a short name in the root directory stands.
func (v victim) entry(name string) []byte {
	at := bytes.Index(v.b[v.root:], []byte(name+strings.Repeat(" ", 11-len(name))))
	return v.b[v.root+at:][:dirEntrySize]
}

func (v victim) put16(at int, x uint16) { binary.LittleEndian.PutUint16(v.b[at:], x) }

// first returns the first cluster of a file.
func (v victim) first(name string) int { return int(binary.LittleEndian.Uint16(v.entry(name)[26:])) }

// link sets the entry of the FAT of a cluster.
func (v victim) link(cluster int, next uint16) { v.put16(v.fat+2*cluster, next) }

func TestOpenRefusesWhatIsUnsound(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(v victim)
		message string
	}{
		"no signature":        {func(v victim) { v.put16(510, 0) }, "ends in 0x0000"},
		"odd sectors":         {func(v victim) { v.put16(11, 513) }, "sectors of 513 bytes"},
		"no sectors":          {func(v victim) { v.put16(11, 0) }, "sectors of 0 bytes"},
		"odd clusters":        {func(v victim) { v.b[13] = 3 }, "clusters of 3 sectors"},
		"no reserved sectors": {func(v victim) { v.put16(14, 0) }, "0 reserved sectors"},
		"no FATs":             {func(v victim) { v.b[16] = 0 }, "0 FATs"},
		"too many sectors":    {func(v victim) { v.put16(totalSectors16, 65535) }, "only 9216000 bytes are there"},
		"no clusters":         {func(v victim) { v.put16(totalSectors16, 10) }, "hold"},
		"small FAT":           {func(v victim) { v.put16(fatSectors16, 1) }, "a FAT of 512 bytes"},
		"chain into itself":   {func(v victim) { v.link(v.first("A")+1, uint16(v.first("A"))) }, "/A: not a sound file: cluster"},
		"chain of another":    {func(v victim) { v.link(v.first("A"), uint16(v.first("B"))) }, "is in use already"},
		"chain too short":     {func(v victim) { v.link(v.first("A"), 0xffff) }, "follows after 2048 of 6000 bytes"},
		"chain to free space": {func(v victim) { v.link(v.first("A"), 0) }, "cluster 0x0 follows"},
		"chain outside":       {func(v victim) { v.link(v.first("A"), 0xff00) }, "cluster 0xff00 follows"},
		"file too long":       {func(v victim) { copy(v.entry("B")[28:], "\xff\xff\xff\xff") }, "/B:"},
		"directory in itself": {func(v victim) { v.below("D2", v.first("D")) }, "directory /D/D2"},
		"directory of none":   {func(v victim) { copy(v.entry("D")[26:], "\x00\x00") }, "directory /D"},
		"directory is loop":   {func(v victim) { v.link(v.first("D"), uint16(v.first("D"))) }, "directory /D"},
		"name twice":          {func(v victim) { v.entry("B")[0] = 'A' }, "the name stands twice"},
		"name with a slash":   {func(v victim) { v.entry("B")[0] = '/' }, `the name "/"`},
		"no name":             {func(v victim) { v.entry("B")[0] = ' ' }, `the name ""`},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t)
			test.change(v)
			_, err := Open(bytes.NewReader(v.b), int64(len(v.b)), diskDigest)
			if !errors.Is(err, container.ErrFormat) || !strings.Contains(err.Error(), test.message) {
				t.Errorf("got %v, want an error with %q", err, test.message)
			}
		})
	}
}

// below sets the first cluster of a directory in D.
func (v victim) below(name string, cluster int) {
	at := bytes.LastIndex(v.b, []byte(name+strings.Repeat(" ", 11-len(name))))
	v.put16(at+26, uint16(cluster))
}

func TestOpenFallsBackToShortNames(t *testing.T) {
	v := newVictim(t)
	at := bytes.Index(v.b[v.root:], []byte("ALONGN~1TXT"))
	v.b[v.root+at-dirEntrySize+13]++ // the checksum
	tree, err := Open(bytes.NewReader(v.b), int64(len(v.b)), diskDigest)
	if err != nil {
		t.Fatal(err)
	}
	if tree.Lookup("ALONGN~1.TXT") == nil {
		t.Errorf("found %q", tree.Root.Names())
	}
}

func TestOpenRefusesWhatIsCutShort(t *testing.T) {
	v := newVictim(t)
	for n := 0; n < len(v.b); n += 512 {
		if n > 64<<10 && n%(256<<10) != 0 {
			continue
		}
		if _, err := Open(bytes.NewReader(v.b[:n]), int64(n), diskDigest); !errors.Is(err, container.ErrFormat) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

// A few bytes of a filesystem say that there is a file, or one more piece of it.
func TestOpenBoundsTheMemoryOfTheTree(t *testing.T) {
	b := newVictim(t).b
	for limit := int64(0); ; limit += container.ExtentMemory {
		v := newVolume(bytes.NewReader(b), int64(len(b)), diskDigest)
		v.memory.Limit = limit
		tree, err := v.open()
		if err == nil {
			if files := int64(len(tree.Root.Names())); limit < files*container.InodeMemory {
				t.Errorf("a tree of %d files and more in %d bytes", files, limit)
			}
			return
		}
		if !errors.Is(err, container.ErrUnsupported) {
			t.Fatalf("%d bytes of memory: %v", limit, err)
		}
	}
}

// FuzzOpen changes bytes of a filesystem's boot sector, FAT and directories. What
// is opened has content within the filesystem, no byte of it in two files.
func FuzzOpen(f *testing.F) {
	v := newVictim(f)
	places := []int{11, 13, 14, 16, 17, 19, 22, 32, 36, 40, 44}
	for i := range 40 {
		places = append(places, v.fat+i)
	}
	for i := range 20 * dirEntrySize {
		places = append(places, v.root+i)
	}
	f.Add([]byte{0, 1, 2})
	f.Add([]byte{0, 12, 3, 0, 14, 3, 0, 60, 200})
	f.Fuzz(func(t *testing.T, patch []byte) {
		b := bytes.Clone(v.b)
		for ; len(patch) >= 3; patch = patch[3:] {
			b[places[(int(patch[0])<<8|int(patch[1]))%len(places)]] = patch[2]
		}
		tree, err := Open(bytes.NewReader(b), int64(len(b)), diskDigest)
		if err != nil {
			return
		}
		seen := make(map[int64]bool)
		for path, n := range tree.Walk() {
			for _, e := range n.Content {
				if e.Length <= 0 || e.Offset < 0 || e.Length > int64(len(b))-e.Offset || seen[e.Offset] {
					t.Fatalf("/%s: an extent %+v of %d bytes", path, e, len(b))
				}
				seen[e.Offset] = true
			}
		}
	})
}
