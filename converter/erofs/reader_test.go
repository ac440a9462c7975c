package erofs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/formattest"
	"github.com/cloudlets/cloudlets/image"
)

func openBytes(data []byte) (*container.Filesystem, error) {
	return Open(bytes.NewReader(data), int64(len(data)), formattest.Source)
}

// mustOpen opens an image and returns the listing of its files.
func mustOpen(t convertertest.TB, data []byte) []string {
	t.Helper()
	fs, err := openBytes(data)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return convertertest.ListTree(t, fs.Tree, fs.Blobs(formattest.Source, convertertest.Blob(data)))
}

func TestWhatIsPlannedIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blobs := convertertest.Blobs{}
		tree := convertertest.DrawTree(t, blobs, trees)
		data := convertertest.Bytes(t, mustPlan(t, tree), blobs)
		convertertest.SameListing(t, mustOpen(t, data), convertertest.ListTree(t, tree, blobs))
	})
}

// mkfs makes an image of a directory.
func mkfs(t testing.TB, dir string, options ...string) []byte {
	t.Helper()
	convertertest.Need(t, "mkfs.erofs", "erofs-utils")
	path := filepath.Join(t.TempDir(), "image")
	convertertest.Run(t, "mkfs.erofs", append(append([]string{"--quiet"}, options...), path, dir)...)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestWhatMkfsMakesIsRead(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("files of other users take root")
	}
	dir := t.TempDir()
	blobs := convertertest.Blobs{}
	drawn := trees
	drawn.ACLs = false // setting one changes the mode
	tree := convertertest.DrawExample(drawn, blobs)
	for _, n := range tree.Walk() {
		n.ModTime = image.Time{Sec: 1_700_000_000} // compact inodes have one for all
	}
	convertertest.Extract(t, tree, blobs, dir)
	convertertest.Run(t, "setfacl", "-m", "u:1000:r,g:70000:rw", filepath.Join(dir, "example 0"))
	if err := os.Chtimes(dir, time.Unix(1_700_000_000, 0), time.Unix(1_700_000_000, 0)); err != nil {
		t.Fatal(err)
	}
	want := convertertest.ListDir(t, dir)
	for _, options := range [][]string{
		{}, {"-Eforce-inode-extended"}, {"-Enoinline_data"}, {"-x1"}, {"-x5"}, {"-Enosbcrc"},
		{"--chunksize=4096"}, {"--chunksize=65536"}, {"--chunksize=4096", "-Eforce-inode-blockmap"}, {"--chunksize=4096", "-Eforce-chunk-indexes"},
	} {
		t.Run(fmt.Sprint(options), func(t *testing.T) {
			data := mkfs(t, dir, append(options, "-T1700000000")...)
			convertertest.SameListing(t, mustOpen(t, data), want)
		})
	}
}

func TestWhatIsElsewhereIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "words"), bytes.Repeat([]byte("content "), 100_000), 0o644); err != nil {
		t.Fatal(err)
	}
	data := mkfs(t, dir, "--blobdev="+filepath.Join(t.TempDir(), "blob"), "--chunksize=4096")
	if _, err := openBytes(data); !errors.Is(err, container.ErrUnsupported) || !strings.Contains(err.Error(), "1 further devices") {
		t.Errorf("error %v", err)
	}
}

// small is an image with files of all kinds.
func small(t testing.TB) []byte {
	t.Helper()
	tree, dirB := formattest.SmallTree()
	for _, name := range []string{"attrs", "more"} {
		n := file(0o600, name)
		n.Xattrs = []image.Xattr{{Name: "security.x", Value: []byte("x")}, {Name: "user." + name, Value: []byte("yy")}}
		dirB.Link(name, n)
	}
	return convertertest.Bytes(t, mustPlan(t, tree), nil)
}

// sign makes the checksum of a superblock right.
func sign(data []byte) {
	b := data[superOffset:blockSize]
	clear(b[superChecksum : superChecksum+4])
	binary.LittleEndian.PutUint32(b[superChecksum:], checksum(b))
}

func mustBeSound(t testing.TB, what string, data []byte) {
	t.Helper()
	if err := formattest.OpenHostile(t, what, data, Open); err != nil && !errors.Is(err, container.ErrFormat) {
		t.Fatalf("%s: it opens, but cannot be read: %v", what, err)
	}
}

// Whatever is changed, Open gives a tree that can be read or one of its two
// kinds of errors.
func TestOpenTakesNothingOnTrust(t *testing.T) {
	dir := t.TempDir()
	for i := range 4 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), bytes.Repeat([]byte{byte(i), 1, 2}, 2000*i), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, original := range map[string][]byte{
		"ours":   small(t),
		"chunks": mkfs(t, dir, "--chunksize=4096"),
		"packs":  mkfs(t, dir, "-zlz4"),
		"full":   mkfs(t, dir, "-zlz4", "-Elegacy-compress,ztailpacking"),
	} {
		for at := superOffset; at < min(len(original), 2*blockSize); at++ {
			if original[at] == 0 && at%16 != 0 {
				continue
			}
			for _, value := range []uint64{0, 1<<64 - 1, uint64(len(original)) / 2} {
				data := bytes.Clone(original)
				var field [8]byte
				binary.LittleEndian.PutUint64(field[:], value)
				for _, width := range []int{1, 4} {
					copy(data[at:], field[:width])
					sign(data)
					mustBeSound(t, fmt.Sprintf("%s: %d at %d in %d bytes", name, value, at, width), data)
				}
			}
		}
	}
}

func TestImagesCutShortAreRefused(t *testing.T) {
	data := small(t)
	for n := range data {
		if _, err := openBytes(data[:n]); !errors.Is(err, container.ErrFormat) {
			t.Fatalf("cut to %d of %d bytes: error %v", n, len(data), err)
		}
	}
}

func TestHostileImagesAreRefusedForWhatTheyAre(t *testing.T) {
	original := small(t)
	le := binary.LittleEndian
	// The entries of a directory that has the name, and the entry itself.
	entry := func(d []byte, name string) []byte {
		at := bytes.Index(d[blockSize:], []byte(name)) + blockSize
		for e := at - direntSize; ; e-- { // the entry whose name starts there
			base := e - e%slotSize
			for ; base > at-400 && base > blockSize; base -= slotSize {
				if int(le.Uint16(d[e+direntNameAt:])) == at-base && d[e+direntType] >= 1 && d[e+direntType] <= 7 && d[e+direntType+1] == 0 {
					return d[e:]
				}
			}
		}
	}
	number := func(name string) uint64 { return le.Uint64(entry(original, name)) }
	inode := func(d []byte, name string) []byte { return d[blockSize+number(name)*slotSize:] }
	for name, c := range map[string]struct {
		change func(d []byte)
		want   string
	}{
		"a directory in itself":    {func(d []byte) { le.PutUint64(entry(d, "dirB"), number("dirA")) }, `/dirA: "dirB": not a sound file: the directory has another name`},
		"a directory in its child": {func(d []byte) { le.PutUint64(entry(d, "dirB"), 0) }, "the directory has another name"},
		"an inode past the end":    {func(d []byte) { le.PutUint64(entry(d, "dirB"), 1<<60) }, "ends outside the file"},
		"a name with a slash":      {func(d []byte) { d[bytes.Index(d, []byte("null"))] = '/' }, "no name of a file"},
		"a name twice":             {func(d []byte) { copy(d, bytes.Replace(d, []byte("null"), []byte("link"), 1)) }, "stands twice"},
		"a file of exabytes": {func(d []byte) {
			le.PutUint64(inode(d, "pipe")[inodeSize:], 1<<63)
			inode(d, "pipe")[inodeMode+1] = 0x81
		}, "a file of 9223372036854775808 bytes"},
		"content past the end": {func(d []byte) { le.PutUint32(inode(d, "attrs")[inodeUnion:], 1<<31) }, "the content of 5 bytes"},
		"a link of gigabytes":  {func(d []byte) { le.PutUint32(inode(d, "link")[inodeSize:], 1<<32-1) }, "a target of 4294967295 bytes"},
		"a mode of no type":    {func(d []byte) { le.PutUint16(inode(d, "pipe")[inodeMode:], 0o644) }, "names no type"},
		"no layout":            {func(d []byte) { le.PutUint16(inode(d, "attrs")[inodeFormat:], 7<<formatLayoutShift) }, "layout 7"},
		"a tail past the block": {func(d []byte) {
			n := inode(d, "attrs")
			n[inodeFormat] |= layoutInline << 1
			le.PutUint32(n[inodeSize:], 4090)
		}, "go on in another block"},
		"chunks without end": {func(d []byte) {
			n := inode(d, "pipe")
			n[inodeMode+1] = 0x81
			n[inodeFormat] = layoutChunks<<1 | 1
			le.PutUint64(n[inodeSize:], 1<<40)
		}, "chunks"},
		"chunks past the end": {func(d []byte) {
			n := inode(d, "pipe")
			n[inodeMode+1] = 0x81
			n[inodeFormat] = layoutChunks<<1 | 1
			le.PutUint64(n[inodeSize:], 1<<30)
		}, "table of chunks"},
		"many shared attributes": {func(d []byte) { inode(d, "attrs")[compactSize+xattrSharedCount] = 255 }, "255 shared attributes"},
		"a long attribute": {func(d []byte) {
			le.PutUint16(inode(d, "attrs")[inodeXattrs:], 2)
			le.PutUint16(inode(d, "more")[inodeXattrs:], 65535)
		}, "attributes"},
		"an unknown feature":  {func(d []byte) { d[superOffset+superIncompat+1] = 1 }, "the features 0x100"},
		"a further device":    {func(d []byte) { d[superOffset+superDevices] = 1 }, "1 further devices"},
		"blocks of gigabytes": {func(d []byte) { d[superOffset+superBlockBits] = 30 }, "blocks of 1 << 30 bytes"},
		"inodes past the end": {func(d []byte) { le.PutUint32(d[superOffset+superMetaBlock:], 1<<31) }, "ends outside the file"},
		"another magic":       {func(d []byte) { d[superOffset] = 'x' }, "the magic of EROFS"},
	} {
		t.Run(name, func(t *testing.T) {
			data := bytes.Clone(original)
			c.change(data)
			sign(data)
			_, err := openBytes(data)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one with %q", err, c.want)
			}
			mustBeSound(t, name, data)
		})
	}
}

func TestAWrongChecksumIsRefused(t *testing.T) {
	data := small(t)
	data[superOffset+superTime]++
	if _, err := openBytes(data); !errors.Is(err, container.ErrFormat) || !strings.Contains(err.Error(), "checksum") {
		t.Fatalf("error %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(small(f)[superOffset:])
	dir := f.TempDir()
	for i := range 3 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), bytes.Repeat([]byte{byte(i), 1}, 2500*i), 0o644); err != nil {
			f.Fatal(err)
		}
	}
	for _, option := range []string{"--chunksize=4096", "-Enosbcrc", "-zlz4", "-zlz4 -Elegacy-compress,ztailpacking", "-zlz4 -C8192"} {
		f.Add(mkfs(f, dir, strings.Fields(option)...)[superOffset:])
	}
	for _, data := range newerImages(f) {
		f.Add(data[superOffset:])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		data = append(make([]byte, superOffset), data...)
		if len(data) >= blockSize {
			sign(data)
		}
		mustBeSound(t, "fuzzed", data)
	})
}
