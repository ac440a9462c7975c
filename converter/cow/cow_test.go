package cow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/formattest"
	"github.com/cloudlets/cloudlets/extent"
)

// read reads a file as QEMU's driver did: sector by sector, where the bitmap has
// a bit.
func read(file []byte) []byte {
	size := int64(binary.BigEndian.Uint64(file[1040:]))
	sectors := size / sectorSize
	data := (headerSize + (sectors+7)/8 + 511) &^ 511
	disk := make([]byte, size)
	for n := range sectors {
		if file[headerSize+n/8]&(1<<(n%8)) != 0 {
			copy(disk[n*sectorSize:(n+1)*sectorSize], file[data+n*sectorSize:])
		}
	}
	return disk
}

func TestWrittenDisksReadAsQEMUDid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blobs := convertertest.Blobs{}
		disk := convertertest.DrawMap(t, blobs, 1<<20)
		file, err := Write(disk)
		if err != nil {
			t.Fatal(err)
		}
		want := convertertest.Bytes(t, disk, blobs)
		want = append(want, make([]byte, -len(want)&(sectorSize-1))...)
		if !bytes.Equal(read(convertertest.Bytes(t, file, blobs)), want) {
			t.Fatal("the disk differs from what was written")
		}
	})
}

func TestSectorsOfHolesAreNotAllocated(t *testing.T) {
	var b extent.Builder
	b.Zero(3*sectorSize - 1)
	b.Inline([]byte("ab")) // the last byte of sector 2, the first of sector 3
	b.ZeroTo(100 << 30)
	disk, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	file, err := Write(disk)
	if err != nil {
		t.Fatal(err)
	}
	r := extent.NewReader(t.Context(), file, nil)
	bitmap := make([]byte, 100)
	if _, err := r.ReadAt(bitmap, headerSize); err != nil {
		t.Fatal(err)
	}
	if want := append([]byte{1<<2 | 1<<3}, make([]byte, 99)...); !bytes.Equal(bitmap, want) {
		t.Errorf("the bitmap is %x, want %x", bitmap, want)
	}
	if n := file.InlineSize(); n > 2*headerSize {
		t.Errorf("the map carries %d bytes", n)
	}
}

func TestWriteRefusesALargerDisk(t *testing.T) {
	formattest.Format{Write: Write}.CheckLargest(t, maxDisk, ErrTooLarge)
}

func TestOpenSaysWhatToDo(t *testing.T) {
	for content, want := range map[string]error{
		magic + "\x00\x00\x00\x02": container.ErrUnsupported,
		"MOOO":                     container.ErrFormat,
		"OOO":                      container.ErrFormat,
		"":                         container.ErrFormat,
	} {
		_, err := Open(strings.NewReader(content), int64(len(content)), "sha256:00")
		if !errors.Is(err, want) {
			t.Errorf("%q: error %v, want %v", content, err, want)
		}
	}
}
