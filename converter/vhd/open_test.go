package vhd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/formattest"
	"github.com/cloudlets/cloudlets/extent"
)

// A small dynamic file: three blocks, of which the first and last are held.
const (
	sampleTable  = footerSize + headerSize
	sampleFirst  = sampleTable + sectorSize // the first block
	sampleSecond = sampleFirst + sectorSize + blockSize
	sampleEnd    = sampleSecond + sectorSize + blockSize // the footer at the end
)

func sample(t convertertest.TB) []byte {
	disk := convertertest.Build(t, func(b *extent.Builder) {
		b.Inline(bytes.Repeat([]byte("a"), 4*sectorSize))
		b.ZeroTo(2 * blockSize)
		b.Inline(bytes.Repeat([]byte("b"), 4*sectorSize))
	})
	return convertertest.Bytes(t, mustWrite(t, disk, Options{}), nil)
}

func openErr(file []byte) error {
	_, err := Open(bytes.NewReader(file), int64(len(file)), formattest.Source)
	return err
}

func TestOpenRefusesUnsoundFiles(t *testing.T) {
	be := binary.BigEndian
	// Of footers, both are changed.
	put32 := func(off int, v uint32) func([]byte) {
		return func(p []byte) {
			be.PutUint32(p[off:], v)
			if off < footerSize {
				be.PutUint32(p[sampleEnd+off:], v)
			}
		}
	}
	put64 := func(off int, v uint64) func([]byte) {
		return func(p []byte) { put32(off, uint32(v>>32))(p); put32(off+4, uint32(v))(p) }
	}
	const head = footerSize
	tests := []struct {
		name   string
		change func([]byte)
		want   error // nil: it must open
	}{
		{"nothing", func([]byte) {}, nil},
		{"version 2", put32(footerVersion, 0x20000), container.ErrUnsupported},
		{"version 1.1", put32(footerVersion, 0x10001), nil},
		{"disk type 0", put32(footerType, 0), container.ErrUnsupported},
		{"disk type 5", put32(footerType, 5), container.ErrUnsupported},
		{"fixed with a footer at the start", put32(footerType, typeFixed), container.ErrFormat},
		{"differencing from no name", put32(footerType, typeDifferencing), container.ErrUnsupported},
		{"disk larger than its table", put64(footerCurrent, 1<<30), container.ErrFormat},
		{"disk over 2040 GiB", put64(footerCurrent, maxSize+512), container.ErrFormat},
		{"huge disk", put64(footerCurrent, 1<<63), container.ErrFormat},
		{"disk of odd size", put64(footerCurrent, 1000), container.ErrFormat},
		{"disk of size 0", put64(footerCurrent, 0), nil},
		{"header outside", put64(footerDataOffset, 1<<40), container.ErrFormat},
		{"no header", put64(footerDataOffset, noOffset), container.ErrFormat},
		{"header in a block", put64(footerDataOffset, sampleFirst), container.ErrFormat},
		{"header is the footer", put64(footerDataOffset, 0), container.ErrFormat},
		{"footers differ", func(p []byte) { be.PutUint64(p[footerCurrent:], blockSize) }, container.ErrFormat},
		{"no footer at the start", func(p []byte) { clear(p[:footerSize]) }, nil},
		{"no footer at the end", func(p []byte) { clear(p[sampleEnd:]) }, nil},
		{"no footer", func(p []byte) { clear(p[:footerSize]); clear(p[sampleEnd:]) }, container.ErrFormat},
		{"header cookie", put32(head, 0), container.ErrFormat},
		{"header version", put32(head+headerVersion, 0), container.ErrUnsupported},
		{"table outside", put64(head+headerTableOffset, 1<<40), container.ErrFormat},
		{"table far outside", put64(head+headerTableOffset, 1<<63), container.ErrFormat},
		{"table is the header", put64(head+headerTableOffset, head), container.ErrFormat},
		{"table in the footer at the end", put64(head+headerTableOffset, sampleEnd), container.ErrFormat},
		{"table too small", put32(head+headerEntries, 2), container.ErrFormat},
		{"table larger than the file", put32(head+headerEntries, 1<<32-1), container.ErrFormat},
		{"blocks of 0 bytes", put32(head+headerBlockSize, 0), container.ErrFormat},
		{"blocks of 256 bytes", put32(head+headerBlockSize, 256), container.ErrFormat},
		{"blocks of 3 MiB", put32(head+headerBlockSize, 3<<20), container.ErrFormat},
		{"blocks of 2 GiB", put32(head+headerBlockSize, 1<<31), container.ErrFormat},
		{"blocks so small that the table is huge", func(p []byte) {
			put64(footerCurrent, maxSize)(p)
			put32(head+headerBlockSize, 512)(p)
		}, container.ErrUnsupported},
		{"block outside", put32(sampleTable, 1<<30), container.ErrFormat},
		{"block in the footer at the end", put32(sampleTable, (sampleSecond+sectorSize)/sectorSize), container.ErrFormat},
		{"block is the footer", put32(sampleTable, 0), container.ErrFormat},
		{"block over the table", put32(sampleTable, sampleTable/sectorSize), container.ErrFormat},
		{"block used twice", put32(sampleTable, sampleSecond/sectorSize), container.ErrFormat},
		{"blocks overlap", put32(sampleTable+8, sampleFirst/sectorSize+1), container.ErrFormat},
		{"one block more", put32(sampleTable+4, sampleFirst/sectorSize), container.ErrFormat},
		{"one block less", put32(sampleTable, unallocated), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := slices.Clone(sample(t))
			test.change(file)
			reseal(file)
			format(Options{}).CheckOpen(t, file, test.want)
		})
	}
}

func TestOpenChecksChecksums(t *testing.T) {
	for _, off := range []int{sampleEnd + 30, footerSize + 900} {
		file := sample(t)
		file[off]++
		// The copy of the footer would help out.
		clear(file[:footerSize])
		if err := openErr(file); !errors.Is(err, container.ErrFormat) || !strings.Contains(err.Error(), "checksum") {
			t.Errorf("changed at %d: %v", off, err)
		}
	}
}

// fixedFile returns the file of a fixed disk of so many bytes by a creator.
func fixedFile(size int, creator string, noted int64) []byte {
	foot := footer{typeFixed, noOffset, creator, 0x50003, chs(int64(size)), uint64(noted), [16]byte{}}
	return append(bytes.Repeat([]byte("f"), size), foot.encode()...)
}

func TestTheCreatorSaysWhichSizeCounts(t *testing.T) {
	const size = 10<<20 + 512
	rounded := chs(size).size()
	for creator, want := range map[string]int64{
		"vpc ": rounded, "vs  ": rounded, "qemu": rounded,
		"qem2": size, "win ": size, "d2v ": size, "tap\x00": size, "CTXS": size, "vbox": size,
	} {
		got := format(Options{}).OpenBytes(t, fixedFile(size, creator, size))
		if int64(len(got)) != want {
			t.Errorf("creator %q: a disk of %d bytes, want %d", creator, len(got), want)
		}
	}
	// Old versions of QEMU rounded the geometry up and noted the true size.
	if got := format(Options{}).OpenBytes(t, fixedFile(size, "qemu", size-512)); len(got) != min(size-512, int(rounded)) {
		t.Errorf("a disk of %d bytes", len(got))
	}
	if err := openErr(fixedFile(size, "win ", size+512)); !errors.Is(err, container.ErrFormat) {
		t.Errorf("a fixed disk larger than its file: %v", err)
	}
}

func TestOpenReadsOldFooters(t *testing.T) {
	file := fixedFile(10<<20, "vpc ", 10<<20)
	file = file[:len(file)-1]
	if got := format(Options{}).OpenBytes(t, file); int64(len(got)) != chs(10<<20).size() {
		t.Errorf("a disk of %d bytes", len(got))
	}
	dynamic := sample(t)
	if err := openErr(dynamic[:len(dynamic)-1]); err != nil {
		t.Errorf("dynamic: %v", err)
	}
}

// Sectors that the bitmap lacks were never written.
func TestOpenHeedsBitmaps(t *testing.T) {
	sectors := []byte{1, 0, 1, 0}
	want := make([]byte, 2*blockSize+4*sectorSize)
	for i, held := range sectors {
		if held == 1 {
			copy(want[i*sectorSize:], bytes.Repeat([]byte("a"), sectorSize))
		}
	}
	copy(want[2*blockSize:], bytes.Repeat([]byte("b"), 4*sectorSize))
	for _, test := range []struct {
		creator  string
		revision uint32
		order    func(byte) byte
	}{
		{"win ", 0x50003, func(b byte) byte { return b }},
		{"tap\x00", 0x10003, func(b byte) byte { return b }},
		{"tap\x00", tapdiskReversed, bits.Reverse8},
	} {
		file := sample(t)
		clear(file[sampleFirst : sampleFirst+sectorSize])
		file[sampleFirst] = test.order(0b1010_0000)
		for _, at := range []int{0, sampleEnd} {
			copy(file[at+footerCreator:], test.creator)
			binary.BigEndian.PutUint32(file[at+footerCreatorRev:], test.revision)
		}
		reseal(file)
		if got := format(Options{}).OpenBytes(t, file); !bytes.Equal(got, want) {
			t.Errorf("%q %#x: the disk differs", test.creator, test.revision)
		}
	}
}

// XenServer puts a map of full blocks behind the table and aligns what follows.
func TestOpenReadsXenServersFiles(t *testing.T) {
	file := sample(t)
	const more = 4096 - sectorSize
	batmap := make([]byte, more)
	copy(batmap, "tdbatmap")
	file = slices.Insert(file, sampleFirst, batmap...)
	be := binary.BigEndian
	for _, entry := range []int{0, 2} {
		at := sampleTable + entry*entrySize
		be.PutUint32(file[at:], be.Uint32(file[at:])+more/sectorSize)
	}
	want := format(Options{}).OpenBytes(t, sample(t))
	if got := format(Options{}).OpenBytes(t, file); !bytes.Equal(got, want) {
		t.Error("the disk differs")
	}
}

// What a file names its parent is compared, if it is a digest, and never opened.
func TestOpenNamesTheParentThatIsMissing(t *testing.T) {
	file := sample(t)
	for _, at := range []int{0, sampleEnd} {
		binary.BigEndian.PutUint32(file[at+footerType:], typeDifferencing)
	}
	for i, c := range "base.vhd" {
		binary.BigEndian.PutUint16(file[footerSize+headerParentName+2*i:], uint16(c))
	}
	reseal(file)
	var missing *container.ParentError
	if err := openErr(file); !errors.As(err, &missing) || missing.Name != "base.vhd" {
		t.Errorf("without its parent: %v", err)
	}
}

func TestOpenReadsSmallBlocks(t *testing.T) {
	want := append(bytes.Repeat([]byte("data"), sectorSize/4), make([]byte, sectorSize)...)
	if got := format(Options{}).OpenBytes(t, smallFile()); !bytes.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
