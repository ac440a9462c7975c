package erofs

import (
	"bytes"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/formattest"
	"github.com/cloudlets/cloudlets/image"
)

// newer are images that mkfs.erofs 1.8.6 made of [compressible], with -T1700000000
// and the options of their names. The mkfs.erofs of Debian 12 has neither other
// algorithms than LZ4 nor fragments nor uses content twice.
//
//go:embed testdata
var newer embed.FS

// compressible returns files of which an EROFS compresses some well, some badly
// and some together.
func compressible() *image.Tree {
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 30_000)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	vocabulary := make([]string, 300)
	for i := range vocabulary {
		vocabulary[i] = fmt.Sprintf("%x ", random.Uint32()>>(random.UintN(24)))
	}
	var text strings.Builder
	for text.Len() < 40_000 {
		text.WriteString(vocabulary[random.IntN(len(vocabulary))])
	}
	words := text.String()
	tree := image.NewTree()
	for name, content := range map[string]string{
		"words": words, "again": words[:20_000] + "elsewhere" + words, "noise": string(noise),
		"zeros": strings.Repeat("\x00", 1<<20), "mixed": words[:9000] + string(noise[:9000]) + words[100:7000], "empty": "",
	} {
		tree.Root.Link(name, file(0o644, content))
	}
	small := &image.Inode{Mode: image.TypeDir | 0o755}
	for i := range 20 {
		small.Link(fmt.Sprint(i), file(0o600, words[i:i*i*20+i]))
	}
	tree.Root.Link("small", small)
	for _, n := range tree.Walk() {
		n.ModTime = image.Time{Sec: 1_700_000_000}
	}
	tree.Sort()
	return tree
}

// compressibleDir is the same in a directory.
func compressibleDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	convertertest.Extract(t, compressible(), nil, dir)
	return dir
}

func TestWhatMkfsCompressesIsRead(t *testing.T) {
	dir := compressibleDir(t)
	want := convertertest.ListDir(t, dir)
	for _, options := range [][]string{
		{"-zlz4"}, {"-zlz4hc,12"}, {"-zlz4", "-C16384"}, {"-zlz4hc", "-C1048576"}, {"-zlz4", "--max-extent-bytes=8192"},
		{"-zlz4", "-Elegacy-compress"}, {"-zlz4", "-Elegacy-compress,ztailpacking"},
		{"-zlz4", "-Eztailpacking"}, {"-zlz4", "-C65536", "-Eztailpacking,force-inode-extended"},
	} {
		t.Run(fmt.Sprint(options), func(t *testing.T) {
			convertertest.SameListing(t, mustOpen(t, mkfs(t, dir, append(options, "-T1700000000")...)), want)
		})
	}
}

// newerImages returns the images of testdata by name.
func newerImages(t testing.TB) map[string][]byte {
	t.Helper()
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	entries, err := newer.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	images := make(map[string][]byte)
	for _, e := range entries {
		if e.IsDir() { // fuzz
			continue
		}
		packed, err := newer.ReadFile("testdata/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if images[e.Name()], err = d.DecodeAll(packed, nil); err != nil {
			t.Fatal(err)
		}
	}
	return images
}

func TestWhatNewerMkfsCompressesIsRead(t *testing.T) {
	want := convertertest.ListDir(t, compressibleDir(t))
	for name, data := range newerImages(t) {
		t.Run(name, func(t *testing.T) { convertertest.SameListing(t, mustOpen(t, data), want) })
	}
}

// What is stored as it is needs no unit, and a unit is no larger than what is
// compressed in it.
func TestCompressedExtentsAreUnits(t *testing.T) {
	fs, err := openBytes(mkfs(t, compressibleDir(t), "-zlz4"))
	if err != nil {
		t.Fatal(err)
	}
	noise, words := fs.Tree.Lookup("noise"), fs.Tree.Lookup("words")
	if noise.Content[0].Digest != formattest.Source {
		t.Errorf("noise: %+v", noise.Content)
	}
	for _, e := range words.Content {
		if e.Digest != container.Unpacked(formattest.Source) {
			t.Errorf("words: %+v", e)
		}
	}
	if place := fs.Units.Place(words.Content[0].Offset); words.Order != place || place%blockSize != 0 {
		t.Errorf("words have the order %d, and are at %d", words.Order, place)
	}
}

// indexOf returns the inode of a file, which is compact, and what follows it, given
// how many bytes it has.
func indexOf(t *testing.T, data []byte, size int) []byte {
	t.Helper()
	for at := superOffset + superblockSize; at+slotSize < len(data); at += slotSize {
		n := data[at:]
		if layout := n[inodeFormat] >> formatLayoutShift; (layout == layoutCompressed || layout == layoutCompressedCompact) &&
			n[inodeFormat]&formatExtended == 0 && int(binary.LittleEndian.Uint32(n[inodeSize:])) == size {
			return n
		}
	}
	t.Fatalf("no compressed file has %d bytes", size)
	return nil
}

func TestHostileCompressedFilesAreRefusedForWhatTheyAre(t *testing.T) {
	dir := compressibleDir(t)
	size := int(compressible().Lookup("words").Size())
	le := binary.LittleEndian
	const header = compactSize
	const index = header + compressionHeaderSize
	const full = index + fullPadding
	for name, c := range map[string]struct {
		options string
		change  func(n []byte)
		want    string
	}{
		"unknown advice":          {"-zlz4", func(n []byte) { n[header+compressionAdvice] |= 0x80 }, "the advice 0x8"},
		"an unknown algorithm":    {"-zlz4 -C8192", func(n []byte) { n[header+compressionAlgorithms] = 9 }, "unknown algorithm 9"},
		"larger clusters":         {"-zlz4", func(n []byte) { n[header+compressionBits] = 3 }, "the bits 0x3"},
		"a tail twice":            {"-zlz4", func(n []byte) { n[header+compressionAdvice] |= adviceTail | adviceFragment }, "both behind its index"},
		"a tail of nothing":       {"-zlz4 -Eztailpacking", func(n []byte) { le.PutUint16(n[header+compressionTail:], 0) }, "stands in 0 bytes"},
		"a tail past its block":   {"-zlz4 -Eztailpacking", func(n []byte) { le.PutUint16(n[header+compressionTail:], 4096) }, "expected some within a block"},
		"a fragment of none":      {"-zlz4", func(n []byte) { n[header+compressionAdvice] |= adviceFragment }, "the filesystem has none"},
		"a whole fragment":        {"-zlz4", func(n []byte) { n[header+compressionBits] = 0x80 }, "the filesystem has none"},
		"one kind large":          {"-zlz4", func(n []byte) { n[header+compressionAdvice] ^= adviceLargeFirst }, "does not tell them apart"},
		"no head":                 {"-zlz4 -Elegacy-compress", func(n []byte) { n[full] = clusterInner; le.PutUint16(n[full+fullBlock:], 1) }, "no extent begins in the first cluster"},
		"a late head":             {"-zlz4 -Elegacy-compress", func(n []byte) { le.PutUint16(n[full+fullOffset:], 9) }, "the first extent begins at 9"},
		"a head past its cluster": {"-zlz4 -Elegacy-compress", func(n []byte) { le.PutUint16(n[full+fullOffset:], 4096) }, "begins at 4096 of a cluster"},
		"a block past the end":    {"-zlz4 -Elegacy-compress", func(n []byte) { le.PutUint32(n[full+fullBlock:], 1<<31) }, "ends outside the file"},
		"many blocks": {"-zlz4 -Elegacy-compress", func(n []byte) {
			n[full+fullEntrySize] = clusterInner
			le.PutUint16(n[full+fullEntrySize+fullBlock:], clusterBlocks|2000)
		}, "says that it is stored in 2000 blocks"},
		"blocks past the end":   {"-zlz4 -C8192 -Elegacy-compress", func(n []byte) { le.PutUint16(n[full+fullEntrySize+fullBlock:], clusterBlocks|2000) }, "ends outside the file"},
		"no blocks":             {"-zlz4 -C8192 -Elegacy-compress", func(n []byte) { le.PutUint16(n[full+fullEntrySize+fullBlock:], 1) }, "nothing says in how many blocks"},
		"plain, but compressed": {"-zlz4 -Elegacy-compress", func(n []byte) { n[full] = clusterPlain }, "stored as it is in 4096"},
		"rotated and long": {"-zlz4 -C8192 -Elegacy-compress", func(n []byte) {
			n[full] = clusterPlain
			n[header+compressionAdvice] |= adviceRotated | adviceLargeSecond
		}, "stored rotated in 8192"},
		"a size of terabytes": {"-zlz4", func(n []byte) { le.PutUint32(n[inodeSize:], 1<<32-1) }, "not a sound file"},
	} {
		t.Run(name, func(t *testing.T) {
			data := mkfs(t, dir, append(strings.Fields(c.options), "-T1700000000")...)
			c.change(indexOf(t, data, size))
			sign(data)
			_, err := openBytes(data)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one with %q", err, c.want)
			}
			mustBeSound(t, name, data)
		})
	}
}

// A packed inode whose own end is a fragment has nothing to give.
func TestAPackedInodeInItselfIsRefused(t *testing.T) {
	data := bytes.Clone(newerImages(t)["lz4_C65536_Eall-fragments.zst"])
	le := binary.LittleEndian
	number := le.Uint64(data[superOffset+superPacked:])
	n := data[le.Uint32(data[superOffset+superMetaBlock:])*blockSize+uint32(number)*slotSize:]
	n[slotSize+compressionBits] = 0x80
	if n[inodeFormat]&formatExtended != 0 {
		n[extendedSize+compressionBits] = 0x80
	}
	sign(data)
	if _, err := openBytes(data); !errors.Is(err, container.ErrFormat) || !strings.Contains(err.Error(), "packed inode") {
		t.Fatalf("error %v", err)
	}
}

// What is compressed may be anything: reading it is an error of the file.
func TestCorruptExtentsAreErrorsOfTheFile(t *testing.T) {
	for name, data := range newerImages(t) {
		fs, err := openBytes(data)
		if err != nil {
			t.Fatal(err)
		}
		at := fs.Units.Place(fs.Tree.Lookup("words").Content[0].Offset)
		for i := range data[at:][:blockSize] {
			data[at+int64(i)] ^= byte(i + 0x5A)
		}
		if err := formattest.ReadFiles(fs, data); !errors.Is(err, container.ErrFormat) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
