package cow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// On-disk values, from cow_header_v2 of block/cow.c, as 64-bit machines lay it
// out: the size is aligned to 8 bytes.
const (
	magic      = "OOOM"
	version    = 2
	headerSize = 1056 // bytes; the name of the backing file has bytes 8 to 1031
	sectorSize = 512

	// maxDisk keeps the bitmap within the 31 bits that QEMU's driver had.
	maxDisk = 1 << 42
)

// ErrTooLarge is wrapped when a disk is larger than any reader of the format
// took.
var ErrTooLarge = errors.New("too large for COW: more than 4 TiB")

// Write returns the file of a disk without a backing file: the header, a bitmap
// of the sectors that the file holds, and the disk with holes for the others. A
// disk whose size is not a multiple of 512 bytes is padded to one with zeros.
//
// The same disk gives the same file. The map carries a bit for every sector of
// data.
func Write(disk *extent.Map) (*extent.Map, error) {
	if disk.Size() > maxDisk {
		return nil, fmt.Errorf("write COW of a disk of %d bytes: %w; choose qcow2", disk.Size(), ErrTooLarge)
	}
	sectors := container.DivideUp(disk.Size(), sectorSize)
	var b extent.Builder
	b.Inline(header(sectors * sectorSize))
	writeBitmap(&b, container.Runs(disk, sectorSize))
	b.ZeroTo(container.AlignUp(headerSize+container.DivideUp(sectors, 8), sectorSize))
	container.AppendPadded(&b, disk, 0, sectors*sectorSize)
	file, err := b.Build()
	if err != nil {
		return nil, fmt.Errorf("write COW of a disk of %d bytes: %w", disk.Size(), err)
	}
	return file, nil
}

// header returns the header of a disk of size bytes.
func header(size int64) []byte {
	be := binary.BigEndian
	p := make([]byte, headerSize)
	copy(p, magic)
	be.PutUint32(p[4:], version)
	// 1032: the backing file's time of modification; there is none.
	be.PutUint64(p[1040:], uint64(size))
	be.PutUint32(p[1048:], sectorSize)
	return p
}

// writeBitmap appends the bits of the sectors of runs, the first sector in the
// lowest bit of a byte. What follows the last run is left out.
func writeBitmap(b *extent.Builder, runs []container.Run) {
	at := int64(0) // the byte that bits are collected for
	bits := byte(0)
	flush := func() {
		if bits != 0 {
			b.ZeroTo(headerSize + at)
			b.Inline([]byte{bits})
		}
		bits = 0
	}
	for _, run := range runs {
		for sector := run.First; sector < run.End(); {
			if sector/8 != at {
				flush()
				at = sector / 8
			}
			n := min(8-sector%8, run.End()-sector)
			bits |= byte(1<<n-1) << (sector % 8)
			sector += n
		}
	}
	flush()
}

// Open refuses every file: with container.ErrUnsupported, and what to do, if it
// has the format, otherwise with container.ErrFormat.
func Open(r io.ReaderAt, size int64, _ extent.Digest) (*container.Disk, error) {
	start, err := container.File{Reader: r, Size: size}.Bytes("magic", 0, int64(len(magic)))
	if err != nil {
		return nil, fmt.Errorf("open COW file of %d bytes: %w", size, err)
	}
	if !bytes.Equal(start, []byte(magic)) {
		return nil, fmt.Errorf("open COW file of %d bytes: %w: it starts with %q, want %q", size, container.ErrFormat, start, magic)
	}
	return nil, fmt.Errorf("open COW file of %d bytes: %w: it is a copy-on-write disk of User Mode Linux, and QEMU dropped the format in 2014; "+
		"merge it with its backing file first: uml_moo, or qemu-img convert -f cow -O qcow2 of QEMU 2.1 or older", size, container.ErrUnsupported)
}
