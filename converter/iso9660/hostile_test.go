package iso9660

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/image"
)

// victim is a volume to be broken: a file of each kind, in the root.
func victim(t testing.TB) []byte {
	t.Helper()
	c := newContents()
	c.put("dir/inside", c.regular("inside"))
	c.put("dir2/inside", c.regular("inside too"))
	c.put("file", c.regular("content"))
	c.put("file2", c.regular("more content"))
	c.put("link", symlink("target/of/a/link"))
	c.put("node", deviceInode(image.TypeChar, 1, 3))
	c.put("long", symlink(strings.Repeat("long", 300)))
	return convertertest.Bytes(t, mustPlan(t, c, Options{}), c.blobs)
}

// recordOf returns the record of an identifier, up to the end of the volume.
func recordOf(p []byte, id string) []byte {
	at := bytes.Index(p, append([]byte{byte(len(id))}, id...))
	return p[at+1-recordNameAt:]
}

// fieldOf returns a system use field of a record, up to the end of the volume.
func fieldOf(record []byte, signature string) []byte {
	return record[bytes.Index(record[:record[0]], []byte(signature)):]
}

// rootOf returns the records of the root directory.
func rootOf(p []byte) []byte {
	block := little.Uint32(p[primaryBlock*blockSize+rootRecordAt+recordBlockAt:])
	return p[block*blockSize:]
}

func TestOpenRefusesBrokenVolumes(t *testing.T) {
	const primary = primaryBlock * blockSize
	tests := []struct {
		name string
		hurt func(p []byte)
		want error
		says string
	}{
		{"no descriptor", func(p []byte) { p[primary+1] = 'X' }, container.ErrFormat, "CD001"},
		{"no primary descriptor", func(p []byte) { p[primary] = 3 }, container.ErrFormat, "no primary"},
		{"odd blocks", func(p []byte) { putBoth16(p[primary+logicalBlockSizeAt:], 4096) }, container.ErrFormat, "4096"},
		{"root is a file", func(p []byte) { p[primary+rootRecordAt+recordFlagsAt] = 0 }, container.ErrFormat, "root"},
		{"root past the end", func(p []byte) { putBoth32(p[primary+rootRecordAt+recordBlockAt:], 1<<31) }, container.ErrFormat, "outside"},
		{"root of 4 GiB", func(p []byte) { putBoth32(p[primary+rootRecordAt+recordSizeAt:], 1<<32-1) }, container.ErrFormat, "4294967295 bytes"},
		{"directory in itself", func(p []byte) {
			putBoth32(recordOf(p, "DIR")[recordBlockAt:], little.Uint32(rootOf(p)[recordBlockAt:]))
		}, container.ErrFormat, "another name already"},
		{"two names of a directory", func(p []byte) { copy(recordOf(p, "DIR2")[recordBlockAt:], recordOf(p, "DIR")[recordBlockAt:][:16]) },
			container.ErrFormat, "another name already"},
		{"directory past the end", func(p []byte) { putBoth32(recordOf(p, "DIR")[recordBlockAt:], 1<<20) }, container.ErrFormat, "/dir: "},
		{"content past the end", func(p []byte) { putBoth32(recordOf(p, "FILE.;1")[recordSizeAt:], 1<<30) }, container.ErrFormat, "FILE.;1"},
		{"block before the file, with attributes", func(p []byte) { recordOf(p, "FILE.;1")[recordBlockAt+3] = 0xff }, container.ErrFormat, "outside"},
		{"record over a sector", func(p []byte) { rootOf(p)[0] = 255; rootOf(p)[255] = 255; fill(rootOf(p)[:blockSize]) }, container.ErrFormat, "sector"},
		{"record of one byte", func(p []byte) { recordOf(p, "FILE.;1")[0] = 1 }, container.ErrFormat, "too short"},
		{"name longer than its record", func(p []byte) { recordOf(p, "FILE.;1")[recordNameLengthAt] = 255 }, container.ErrFormat, "too short"},
		{"no identifier", func(p []byte) { recordOf(p, "FILE.;1")[recordNameLengthAt] = 0 }, container.ErrFormat, "too short"},
		{"interleaved", func(p []byte) { recordOf(p, "FILE.;1")[recordUnitAt] = 1 }, container.ErrUnsupported, "interleaved"},
		{"no last section", func(p []byte) { recordOf(p, "FILE.;1")[recordFlagsAt] = flagMultiExtent }, container.ErrFormat, "last section"},
		{"no last section in the directory", func(p []byte) { recordOf(p, "NODE.;1")[recordFlagsAt] = flagMultiExtent }, container.ErrFormat, "last section"},
		{"sections of a directory", func(p []byte) { recordOf(p, "DIR")[recordFlagsAt] |= flagMultiExtent }, container.ErrFormat, "several sections"},
		{"name twice", func(p []byte) { copy(fieldOf(recordOf(p, "DIR2"), "NM")[nameHeader:], "file") }, container.ErrFormat, "stands twice"},
		{"slash in a name", func(p []byte) { copy(fieldOf(recordOf(p, "FILE.;1"), "NM")[nameHeader:], "a/b") }, container.ErrFormat, "no name of a file"},
		{"zero byte in a name", func(p []byte) { fieldOf(recordOf(p, "FILE.;1"), "NM")[nameHeader] = 0 }, container.ErrFormat, "no name of a file"},
		{"name is the parent", func(p []byte) { fieldOf(recordOf(p, "FILE.;1"), "NM")[fieldHeader] = flagParent }, container.ErrFormat, "no name of a file"},
		{"directory says it is a file", func(p []byte) { fieldOf(recordOf(p, "DIR"), "PX")[5] = 0x81 }, container.ErrFormat, "another type"},
		{"file says it is a directory", func(p []byte) { fieldOf(recordOf(p, "FILE.;1"), "PX")[5] = 0x41 }, container.ErrFormat, "another type"},
		{"root says it is a file", func(p []byte) { fieldOf(rootOf(p), "PX")[5] = 0x81 }, container.ErrFormat, "another type"},
		{"no type", func(p []byte) { fieldOf(recordOf(p, "FILE.;1"), "PX")[5] = 0x01 }, container.ErrFormat, "names no file type"},
		{"mode of 32 bits", func(p []byte) { fieldOf(recordOf(p, "FILE.;1"), "PX")[7] = 1 }, container.ErrFormat, "mode"},
		{"link without a target", func(p []byte) { copy(fieldOf(recordOf(p, "LINK.;1"), "SL"), "XX") }, container.ErrFormat, "target"},
		{"component longer than its field", func(p []byte) { fieldOf(recordOf(p, "LINK.;1"), "SL")[symlinkHeader+1] = 200 }, container.ErrFormat, `"SL"`},
		{"unknown component", func(p []byte) { fieldOf(recordOf(p, "LINK.;1"), "SL")[symlinkHeader] = 0x20 }, container.ErrFormat, "flags 0x20"},
		{"device without numbers", func(p []byte) { copy(fieldOf(recordOf(p, "NODE.;1"), "PN"), "XX") }, container.ErrFormat, "numbers"},
		{"field too short", func(p []byte) { fieldOf(recordOf(p, "NODE.;1"), "PN")[2] = 8 }, container.ErrFormat, `"PN"`},
		{"field longer than its area", func(p []byte) { fieldOf(recordOf(p, "FILE.;1"), "TF")[2] = 250 }, container.ErrFormat, "are left"},
		{"compressed file", func(p []byte) { copy(fieldOf(recordOf(p, "FILE.;1"), "TF"), "ZF") }, container.ErrUnsupported, "zisofs"},
		{"sparse file", func(p []byte) { copy(fieldOf(recordOf(p, "FILE.;1"), "TF"), "SF") }, container.ErrUnsupported, "sparse"},
		{"continuation past the end", func(p []byte) { putBoth32(fieldOf(recordOf(p, "LONG.;1"), "CE")[4:], 1<<31) }, container.ErrFormat, "outside"},
		{"large continuation", func(p []byte) { putBoth32(fieldOf(recordOf(p, "LONG.;1"), "CE")[20:], 1<<31) }, container.ErrFormat, "2147483648 bytes"},
		{"endless continuation", endlessContinuation, container.ErrFormat, "leads to itself"},
		{"moved directory past the end", func(p []byte) { makeChild(p, 1<<31) }, container.ErrFormat, "outside"},
		{"moved directory is the root", func(p []byte) { makeChild(p, little.Uint32(rootOf(p)[recordBlockAt:])) }, container.ErrFormat, "another name already"},
		{"overlapping directories", overlap, container.ErrFormat, "overlap"},
	}
	good := victim(t)
	if _, err := openBytes(good); err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := bytes.Clone(good)
			test.hurt(p)
			_, err := openBytes(p)
			mustWrap(t, err, test.want, test.says)
		})
	}
}

// fill makes a sector of records without a gap, the last of which goes on.
func fill(sector []byte) {
	for at := 0; at < len(sector); at += 255 {
		sector[at] = 255
		if rest := sector[at:]; len(rest) > recordNameAt+1 {
			rest[recordNameLengthAt], rest[recordNameAt] = 1, 1
			rest[recordUnitAt], rest[recordGapAt] = 0, 0
		}
	}
}

// endlessContinuation lets an area refer to itself.
func endlessContinuation(p []byte) {
	pointer := fieldOf(recordOf(p, "LONG.;1"), "CE")
	area := p[little.Uint32(pointer[4:])*blockSize+little.Uint32(pointer[12:]):]
	copy(area, pointer[:continuationSize])
	putBoth32(area[20:], continuationSize)
	putBoth32(pointer[20:], continuationSize)
}

// makeChild turns a device into a directory that was moved to a block.
func makeChild(p []byte, block uint32) {
	record := recordOf(p, "NODE.;1")
	fieldOf(record, "PX")[5] = 0x41
	numbers := fieldOf(record, "PN")
	copy(numbers, "CL")
	putBoth32(numbers[4:], block)
}

// overlap lets both directories take most of the volume's padding: together they
// are longer than it.
func overlap(p []byte) {
	for i, id := range []string{"DIR", "DIR2"} {
		record := recordOf(p, id)
		blocks := uint32(paddingBlocks - i)
		putBoth32(record[recordBlockAt:], uint32(len(p))/blockSize-blocks)
		putBoth32(record[recordSizeAt:], blocks*blockSize)
	}
}

func TestOpenRefusesTruncatedVolumes(t *testing.T) {
	p := victim(t)
	end := len(p) - paddingBlocks*blockSize - blockSize
	for size := 0; size <= end; size += 512 {
		_, err := openBytes(p[:size])
		if !errors.Is(err, container.ErrFormat) {
			t.Fatalf("of %d bytes the first %d give the error %v", len(p), size, err)
		}
	}
	if _, err := openBytes(p[:len(p)-paddingBlocks*blockSize]); err != nil {
		t.Errorf("without its padding the volume gives %v", err)
	}
}

// A reader that has less than it says, or fails.
func TestOpenPassesOnErrors(t *testing.T) {
	p := victim(t)
	broken := errors.New("the disk is broken")
	_, err := Open(failingReader{broken}, int64(len(p)), fileDigest)
	mustWrap(t, err, broken, "volume descriptor")
	_, err = Open(bytes.NewReader(p[:20*blockSize]), int64(len(p)), fileDigest)
	mustWrap(t, err, io.ErrUnexpectedEOF)
}

type failingReader struct{ err error }

func (r failingReader) ReadAt([]byte, int64) (int, error) { return 0, r.err }

// A volume as deep as any tree, and one level more.
func TestOpenBoundsDepth(t *testing.T) {
	for depth, want := range map[int]error{2048: nil, 2049: container.ErrUnsupported} {
		c := newContents()
		c.put(strings.Repeat("d/", depth-1)+"d", directoryInode())
		_, err := openBytes(convertertest.Bytes(t, mustPlan(t, c, Options{}), c.blobs))
		if !errors.Is(err, want) {
			t.Errorf("%d directories in each other give %v", depth, err)
		}
	}
}

// FuzzOpen opens what may be a volume. What is accepted is within the file, and
// can be planned again.
func FuzzOpen(f *testing.F) {
	c := newContents()
	c.put("a", c.regular("content"))
	c.put("d/l", symlink("../a"))
	for _, o := range []Options{{}, {Joliet: true}} {
		p := convertertest.Bytes(f, mustPlan(f, c, o), c.blobs)
		f.Add(p[primaryBlock*blockSize : len(p)-paddingBlocks*blockSize])
	}
	p := victim(f)
	f.Add(p[primaryBlock*blockSize : len(p)-paddingBlocks*blockSize])
	f.Fuzz(func(t *testing.T, volume []byte) {
		// The system area says nothing.
		file := append(make([]byte, primaryBlock*blockSize), volume...)
		c, err := openBytes(file)
		if err != nil {
			if !errors.Is(err, container.ErrFormat) && !errors.Is(err, container.ErrUnsupported) {
				t.Fatalf("unexpected error: %v", err)
			}
			return
		}
		c.describe(t) // reads all content
		if _, err := Plan(t.Context(), c.tree, Options{}); err != nil {
			t.Fatalf("what was read cannot be planned: %v", err)
		}
	})
}
