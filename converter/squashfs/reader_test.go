package squashfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/formattest"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// mustOpen opens an image and returns the listing of its files.
func mustOpen(t convertertest.TB, data []byte) []string {
	t.Helper()
	fs, err := Open(bytes.NewReader(data), int64(len(data)), formattest.Source)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return convertertest.ListTree(t, fs.Tree, fs.Blobs(formattest.Source, convertertest.Blob(data)))
}

func TestWhatIsPlannedIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blobs := convertertest.Blobs{}
		tree := convertertest.DrawTree(t, blobs, trees)
		data := convertertest.Bytes(t, mustPlan(t, tree, Options{}), blobs)
		convertertest.SameListing(t, mustOpen(t, data), convertertest.ListTree(t, tree, blobs))
	})
}

// mksquashfs makes an image of a directory.
func mksquashfs(t testing.TB, dir string, options ...string) []byte {
	t.Helper()
	convertertest.Need(t, "mksquashfs", "squashfs-tools")
	path := filepath.Join(t.TempDir(), "image")
	convertertest.Run(t, "mksquashfs", append([]string{dir, path, "-quiet", "-no-progress", "-processors", "2"}, options...)...)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// sampleDir is a directory with files of all types.
func sampleDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	blobs := convertertest.Blobs{}
	convertertest.Extract(t, convertertest.DrawExample(convertertest.Trees{
		Files: 25, FileSize: 2 << 20, Seconds: true, Crowds: true, Namespaces: trees.Namespaces,
	}, blobs), blobs, dir)
	return dir
}

func TestWhatMksquashfsMakesIsRead(t *testing.T) {
	asRoot(t)
	dir := sampleDir(t)
	want := convertertest.ListDir(t, dir)
	for _, options := range [][]string{
		{},
		{"-comp", "gzip", "-b", "1M"}, {"-comp", "gzip", "-b", "4K"},
		{"-comp", "zstd"}, {"-comp", "zstd", "-b", "1M", "-tailends"}, {"-comp", "zstd", "-Xcompression-level", "22", "-b", "4K"},
		{"-comp", "xz"}, {"-comp", "xz", "-b", "1M", "-Xdict-size", "100%"},
		{"-comp", "lz4"}, {"-comp", "lz4", "-Xhc", "-b", "1M"},
		{"-no-fragments"}, {"-tailends"}, {"-no-exports", "-no-duplicates"},
		{"-noI", "-noD", "-noF", "-noX"}, {"-noD", "-b", "64K"}, {"-noF"}, {"-nopad"},
	} {
		t.Run(fmt.Sprint(options), func(t *testing.T) {
			convertertest.SameListing(t, mustOpen(t, mksquashfs(t, dir, options...)), want)
		})
	}
}

func TestStoredBlocksAreExtentsOfTheFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), bytes.Repeat([]byte("content "), 100_000), 0o644); err != nil {
		t.Fatal(err)
	}
	data := mksquashfs(t, dir, "-noD", "-noF")
	fs, err := Open(bytes.NewReader(data), int64(len(data)), formattest.Source)
	if err != nil {
		t.Fatal(err)
	}
	f := fs.Tree.Lookup("f")
	if fs.Units != nil || f == nil || len(f.Content) == 0 || len(f.Content) > 2 || f.Content[0].Digest != formattest.Source {
		t.Fatalf("content %+v, units %v", f.Content, fs.Units)
	}
}

// Whoever copies files in their order reads the image from front to back.
func TestOrderIsThatOfTheContent(t *testing.T) {
	dir := t.TempDir()
	for i := range 40 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), bytes.Repeat([]byte{byte(i + 1)}, 700*(i%5+1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	fs, err := openBytes(mksquashfs(t, dir, "-b", "4K", "-noF"))
	if err != nil {
		t.Fatal(err)
	}
	for path, n := range fs.Tree.Walk() {
		if n.IsRegular() && (n.Order == 0 || n.Order > n.Content[0].Offset || n.Order < n.Content[0].Offset-4096) {
			t.Errorf("/%s has the order %d, its content is at %d", path, n.Order, n.Content[0].Offset)
		}
	}
}

func TestOtherCompressorsAreRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), bytes.Repeat([]byte("content "), 100_000), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := openBytes(mksquashfs(t, dir, "-comp", "lzo"))
	if !errors.Is(err, container.ErrUnsupported) || !strings.Contains(err.Error(), "lzo") {
		t.Errorf("lzo: error %v", err)
	}
	_, err = openBytes(mksquashfs(t, dir, "-comp", "xz", "-Xbcj", "x86"))
	if !errors.Is(err, container.ErrUnsupported) || !strings.Contains(err.Error(), "-Xbcj") {
		t.Errorf("xz with a filter: error %v", err)
	}
}

func openBytes(data []byte) (*container.Filesystem, error) {
	return Open(bytes.NewReader(data), int64(len(data)), formattest.Source)
}

// small is an image with files of all kinds whose metadata is stored, so that
// tests can change it.
func small(t testing.TB) []byte {
	t.Helper()
	tree, dirB := formattest.SmallTree()
	sparse := file(0o600, "start")
	sparse.Content = append(sparse.Content, extent.Extent{Length: 1 << 20})
	sparse.Xattrs = []image.Xattr{{Name: "security.x", Value: []byte("x")}, {Name: "user.y", Value: []byte("yy")}}
	dirB.Link("sparse", sparse)
	return convertertest.Bytes(t, mustPlan(t, tree, Options{BlockSize: 4096}), nil)
}

// Whatever is changed, Open gives a tree or one of its two kinds of errors.
func TestOpenTakesNothingOnTrust(t *testing.T) {
	dir := t.TempDir()
	for i := range 10 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), bytes.Repeat([]byte{byte(i), 1, 2}, 200*i), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, original := range map[string][]byte{
		"ours":       small(t),
		"mksquashfs": mksquashfs(t, dir, "-noI", "-noX", "-b", "4K", "-nopad"),
	} {
		for at := range original {
			if at >= superblockSize && at < int(binary.LittleEndian.Uint64(original[superInodeTable:])) {
				continue // content
			}
			for _, value := range []uint64{0, 1<<64 - 1, uint64(len(original)) / 2} {
				data := bytes.Clone(original)
				var field [8]byte
				binary.LittleEndian.PutUint64(field[:], value)
				for _, width := range []int{1, 2, 4} {
					copy(data[at:], field[:width])
					what := fmt.Sprintf("%s: %d at %d in %d bytes", name, value, at, width)
					_ = formattest.OpenHostile(t, what, data, Open) // content may be damaged
				}
			}
		}
	}
}

func TestImagesCutShortAreRefused(t *testing.T) {
	data := small(t)
	used := int(binary.LittleEndian.Uint64(data[superBytesUsed:]))
	for n := range used {
		if _, err := openBytes(data[:n]); !errors.Is(err, container.ErrFormat) {
			t.Fatalf("cut to %d of %d bytes: error %v", n, used, err)
		}
	}
	mustOpen(t, data[:used])
}

func TestHostileImagesAreRefusedForWhatTheyAre(t *testing.T) {
	original := small(t)
	le := binary.LittleEndian
	entry := func(data []byte, name string) []byte {
		return data[bytes.LastIndex(data, []byte(name))-dirEntrySize:]
	}
	inodes := le.Uint64(original[superInodeTable:]) + metadataHeaderSize
	offsetOf := func(name string) uint16 { return le.Uint16(entry(original, name)) }
	inode := func(data []byte, name string) []byte { return data[inodes+uint64(offsetOf(name)):] }
	root := le.Uint64(original[superRoot:])
	for name, c := range map[string]struct {
		change func(data []byte)
		want   string
	}{
		"a directory in itself":    {func(d []byte) { le.PutUint16(entry(d, "dirB"), offsetOf("dirA")) }, `/dirA: "dirB": not a sound file: the directory has another name`},
		"a directory in its child": {func(d []byte) { le.PutUint16(entry(d, "dirB"), uint16(root)) }, "the directory has another name"},
		"a name with a slash":      {func(d []byte) { copy(entry(d, "null")[dirEntrySize:], "nu/l") }, "no name of a file"},
		"a name twice":             {func(d []byte) { copy(entry(d, "null")[dirEntrySize:], "link") }, "stands twice"},
		"a root that is a file":    {func(d []byte) { le.PutUint64(d[superRoot:], uint64(offsetOf("regular"))) }, "the root is not a directory"},
		"a file of exabytes":       {func(d []byte) { le.PutUint64(inode(d, "sparse")[24:], 1<<62) }, "blocks"},
		"a file past its blocks":   {func(d []byte) { le.PutUint64(inode(d, "sparse")[24:], 1<<34) }, "/dirA/dirB: \"sparse\""},
		"a block too long":         {func(d []byte) { le.PutUint32(inode(d, "sparse")[56:], 4097|blockStored) }, "4097 bytes, expected 1 to 4096"},
		"content past the end":     {func(d []byte) { le.PutUint64(inode(d, "sparse")[16:], 1<<63) }, "ends outside the file"},
		"a link of gigabytes":      {func(d []byte) { le.PutUint32(inode(d, "link")[20:], 1<<32-1) }, "a target of 4294967295 bytes"},
		"an inode of no type":      {func(d []byte) { le.PutUint16(inode(d, "pipe"), 15) }, "an inode of type 15, expected 1 to 14"},
		"an owner of none":         {func(d []byte) { le.PutUint16(inode(d, "pipe")[4:], 9) }, "user or group 9 of 2"},
		"attributes of none":       {func(d []byte) { le.PutUint32(inode(d, "sparse")[52:], 5) }, "extended attributes 5"},
		"a fragment of none":       {func(d []byte) { le.PutUint32(inode(d, "sparse")[44:], 5) }, "fragment 5 of 0"},
		"a table past the end":     {func(d []byte) { le.PutUint64(d[superInodeTable:], 1<<63) }, "ends outside the file"},
		"version 3":                {func(d []byte) { le.PutUint16(d[superMajor:], 3) }, "version 3.0, expected 4.0"},
		"another magic":            {func(d []byte) { d[0] = 'x' }, "the magic of squashfs"},
		"blocks of gigabytes":      {func(d []byte) { le.PutUint16(d[superBlockLog:], 30); le.PutUint32(d[superBlockSize:], 1<<30) }, "blocks of 1073741824 bytes"},
		"no compressor":            {func(d []byte) { le.PutUint16(d[superCompressor:], 7) }, "compressor 7"},
	} {
		t.Run(name, func(t *testing.T) {
			data := bytes.Clone(original)
			c.change(data)
			_, err := openBytes(data)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(small(f))
	dir := f.TempDir()
	for i := range 4 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), bytes.Repeat([]byte{byte(i), 1}, 1500*i), 0o644); err != nil {
			f.Fatal(err)
		}
	}
	for _, options := range [][]string{{"-noI", "-noX"}, {}, {"-comp", "xz"}, {"-comp", "zstd"}, {"-comp", "lz4"}} {
		f.Add(mksquashfs(f, dir, append(options, "-b", "4K", "-nopad")...))
	}
	f.Fuzz(func(t *testing.T, data []byte) { _ = formattest.OpenHostile(t, "fuzzed", data, Open) })
}
