package vdi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/formattest"
	"github.com/cloudlets/cloudlets/extent"
)

const mib, gib = int64(1) << 20, int64(1) << 30

func format(opts Options, variants ...[]string) formattest.Format {
	return formattest.Format{
		QEMU:     "vdi",
		Checked:  true,
		Write:    func(disk *extent.Map) (*extent.Map, error) { return Write(disk, opts) },
		Open:     Open,
		Variants: variants,
	}
}

func TestContract(t *testing.T) {
	t.Run("dynamic", func(t *testing.T) { formattest.Run(t, format(Options{}, []string{})) })
	t.Run("static", func(t *testing.T) { formattest.Run(t, format(Options{Static: true}, []string{"-o", "static=on"})) })
}

func write(t convertertest.TB, disk *extent.Map, opts Options) *extent.Map {
	t.Helper()
	file, err := Write(disk, opts)
	if err != nil {
		t.Fatalf("Write: %v", err)
	}
	return file
}

func TestWriteKeepsTheLargestDiskInBoundedMemory(t *testing.T) {
	disk := convertertest.Build(t, func(b *extent.Builder) { b.ZeroTo(maxSize - 1); b.Inline([]byte("z")) })
	file := write(t, disk, Options{})
	if file.Memory() > 130*mib {
		t.Errorf("the map of a disk of 32 TiB takes %d bytes", file.Memory())
	}
	small := convertertest.Build(t, func(b *extent.Builder) { b.Zero(100 * gib) })
	if file := write(t, small, Options{}); file.Memory() > mib {
		t.Errorf("the map of a disk of 100 GiB takes %d bytes", file.Memory())
	}
}

func TestQEMUReadsALargeDisk(t *testing.T) {
	convertertest.Need(t, "qemu-io", "qemu-utils")
	const size = 2 << 40
	disk := convertertest.Build(t, func(b *extent.Builder) { b.ZeroTo(size - 1); b.Inline([]byte("z")) })
	path := filepath.Join(t.TempDir(), "disk")
	convertertest.WriteFile(t, write(t, disk, Options{}), nil, path)
	convertertest.Run(t, "qemu-img", "check", "-f", "vdi", path)
	convertertest.Run(t, "qemu-io", "-r", "-f", "vdi", path, "-c", fmt.Sprintf("read -P 122 %d 1", int64(size-1)))
}

func TestWriteRefusesWhatIsTooLarge(t *testing.T) {
	for _, size := range []int64{maxSize + 1, 1<<63 - 1} {
		if _, err := Write(convertertest.Build(t, func(b *extent.Builder) { b.Zero(size) }), Options{}); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestEveryDiskHasAnIDOfItsOwn(t *testing.T) {
	header := func(content string, opts Options) []byte {
		file := write(t, convertertest.Build(t, func(b *extent.Builder) { b.Inline([]byte(content)) }), opts)
		return convertertest.Bytes(t, file, nil)[:headerSize]
	}
	id := func(p []byte) string { return string(p[headerCreated : headerCreated+16]) }
	if a, b := header("a", Options{}), header("b", Options{}); id(a) == id(b) {
		t.Error("two disks have one ID")
	}
	given := header("a", Options{ID: [16]byte{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88}})
	if want := "\x33\x22\x11\x00\x55\x44\x77\x66\x88"; !strings.HasPrefix(id(given), want) {
		t.Errorf("ID %x", id(given))
	}
}

// A guest must be able to write to the disk: that allocates blocks.
func TestGuestsWriteToTheDisk(t *testing.T) { format(Options{}).CheckGuestWrites(t, 200*mib) }

// The file of VirtualBox that virtualBoxFile returns.
const (
	vboxMap   = 0x200
	vboxData  = 0x400
	vboxBlock = 1024
)

// virtualBoxFile returns a file as VirtualBox could have made it: with a comment,
// a geometry, and blocks that are out of order, discarded and shorter at the end.
func virtualBoxFile() []byte {
	le := binary.LittleEndian
	p := make([]byte, vboxData+3*vboxBlock)
	copy(p, "<<< Sun xVM VirtualBox Disk Image >>>\n")
	put := func(off int, v uint32) { le.PutUint32(p[off:], v) }
	put(0x40, 0xbeda107f)
	put(0x44, 0x00010001)
	put(0x48, 0x190)
	put(0x4c, 1)
	copy(p[0x54:], "a comment")
	put(0x154, vboxMap)
	put(0x158, vboxData)
	put(0x168, 512)
	put(0x170, 5*vboxBlock-512) // disk size
	put(0x178, vboxBlock)
	put(0x180, 5) // blocks
	put(0x184, 3) // of which allocated
	copy(p[0x188:], "created by VBox!modified by VBox")
	for i, v := range []uint32{1024, 16, 63, 512} { // geometry
		put(0x1c8+4*i, v)
	}
	for i, v := range []uint32{2, discarded, 0, unallocated, 1} {
		put(vboxMap+4*i, v)
	}
	for i, c := range []byte("abc") {
		copy(p[vboxData+i*vboxBlock:], bytes.Repeat([]byte{c}, vboxBlock))
	}
	return p
}

func virtualBoxDisk() []byte {
	return slices.Concat(bytes.Repeat([]byte("c"), vboxBlock), make([]byte, vboxBlock),
		bytes.Repeat([]byte("a"), vboxBlock), make([]byte, vboxBlock), bytes.Repeat([]byte("b"), vboxBlock-512))
}

func TestOpenReadsVirtualBoxFiles(t *testing.T) {
	if got := format(Options{}).OpenBytes(t, virtualBoxFile()); !bytes.Equal(got, virtualBoxDisk()) {
		t.Error("the disk differs")
	}
}

func TestOpenSkipsWhatStandsBeforeBlocks(t *testing.T) {
	file := virtualBoxFile()
	blocks := file[vboxData:]
	file = file[:vboxData:vboxData]
	binary.LittleEndian.PutUint32(file[headerBlockExtra:], 512)
	for i := range 3 {
		file = slices.Concat(file, bytes.Repeat([]byte("x"), 512), blocks[i*vboxBlock:(i+1)*vboxBlock])
	}
	if got := format(Options{}).OpenBytes(t, file); !bytes.Equal(got, virtualBoxDisk()) {
		t.Error("the disk differs")
	}
}

func TestOpenRefusesUnsoundFiles(t *testing.T) {
	patch := formattest.Patch{Order: binary.LittleEndian}
	put32, put64 := patch.Uint32, patch.Uint64
	tests := []struct {
		name   string
		change func([]byte)
		want   error // nil: it must open
	}{
		{"nothing", func([]byte) {}, nil},
		{"signature", put32(headerSignature, 0), container.ErrFormat},
		{"version 1.0", put32(headerVersion, 0x10000), container.ErrUnsupported},
		{"version 2.0", put32(headerVersion, 0x20000), container.ErrUnsupported},
		{"short header", put32(headerLength, 0x100), container.ErrFormat},
		{"header without a geometry", put32(headerLength, minLength), nil},
		{"header over the map", put32(headerLength, 0x200), container.ErrFormat},
		{"huge header", put32(headerLength, 1<<32-1), container.ErrFormat},
		{"static", put32(headerType, typeStatic), nil},
		{"type 0", put32(headerType, 0), container.ErrUnsupported},
		{"undo", put32(headerType, typeUndo), container.ErrUnsupported},
		{"differencing", put32(headerType, typeDifferencing), container.ErrUnsupported},
		{"linked", put32(headerLink, 1), container.ErrUnsupported},
		{"with a parent", put32(headerParent, 1), container.ErrUnsupported},
		{"map at odd offset", put32(headerMapOffset, vboxMap+4), container.ErrFormat},
		{"map in the header", put32(headerMapOffset, 0), container.ErrFormat},
		{"map over the blocks", put32(headerMapOffset, vboxData), container.ErrFormat},
		{"map outside", put32(headerMapOffset, 1<<31), container.ErrFormat},
		{"blocks at odd offset", put32(headerDataOffset, vboxData+4), container.ErrFormat},
		{"blocks over the map", put32(headerDataOffset, vboxMap), container.ErrFormat},
		{"blocks outside", put32(headerDataOffset, 1<<31), container.ErrFormat},
		{"sectors of 4 KiB", put32(headerSector, 4096), container.ErrUnsupported},
		{"no blocks", put32(headerBlocks, 0), container.ErrFormat},
		{"4 billion blocks", put32(headerBlocks, 1<<32-1), container.ErrFormat},
		{"blocks of 0 bytes", put32(headerBlockSize, 0), container.ErrFormat},
		{"blocks of 256 bytes", put32(headerBlockSize, 256), container.ErrFormat},
		{"blocks of 1000 bytes", put32(headerBlockSize, 1000), container.ErrFormat},
		{"larger blocks", put32(headerBlockSize, 2048), container.ErrFormat},
		{"blocks with an odd head", put32(headerBlockExtra, 100), container.ErrFormat},
		{"blocks with a long head", put32(headerBlockExtra, 1<<31), container.ErrFormat},
		{"disk of size 0", put64(headerDiskSize, 0), nil},
		{"disk of odd size", put64(headerDiskSize, 1000), nil},
		{"disk larger than its map", put64(headerDiskSize, 5*vboxBlock+1), container.ErrFormat},
		{"huge disk", put64(headerDiskSize, 1<<63), container.ErrUnsupported},
		{"block outside", put32(vboxMap, 3), container.ErrFormat},
		{"block far outside", put32(vboxMap, 1<<31), container.ErrFormat},
		{"block used twice", put32(vboxMap, 1), container.ErrFormat},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := virtualBoxFile()
			test.change(file)
			format(Options{}).CheckOpen(t, file, test.want)
		})
	}
}

// air is a reader of a file that is much longer than what it holds.
type air struct{ head []byte }

func (a air) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(a.head)) {
		copy(p, a.head[off:])
	}
	return len(p), nil
}

// A file that is long and empty may have a long map: what is not believed is not
// read.
func TestOpenBoundsTheMap(t *testing.T) {
	var r io.ReaderAt
	file := virtualBoxFile()[:headerSize]
	le := binary.LittleEndian
	le.PutUint32(file[headerBlocks:], 1<<32-1)
	le.PutUint64(file[headerDiskSize:], (1<<32-1)*vboxBlock)
	r = air{file}
	if _, err := Open(r, 1<<50, formattest.Source); !errors.Is(err, container.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
	// All entries name block 0.
	le.PutUint64(file[headerDiskSize:], 1<<20*vboxBlock)
	if _, err := Open(r, 1<<50, formattest.Source); !errors.Is(err, container.ErrFormat) {
		t.Errorf("got %v", err)
	}
	le.PutUint64(file[headerDiskSize:], maxBlocks*vboxBlock)
	if _, err := Open(r, 1<<50, formattest.Source); !errors.Is(err, container.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}

func FuzzOpen(f *testing.F) { format(Options{}).Fuzz(f, virtualBoxFile()) }
