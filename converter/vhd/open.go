package vhd

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// Open returns the disk in a VHD file, fixed or dynamic, as an extent map over
// the file's own bytes: r reads the file, size is its length in bytes, and source
// is the digest by which the map names it. Blocks and sectors that the file does
// not hold become zero extents.
//
// The disk has the size that the file notes, except in files of Virtual PC and of
// QEMU without force_size: there it is what the geometry addresses.
//
// Checksums are checked, every offset is checked to lie within the file, and no
// two things may stand in one place. What is wrong is refused with
// container.ErrFormat; differencing files are refused with
// container.ErrUnsupported, see [OpenOver].
//
// Memory is bounded by what the file really holds: some 30 bytes for each run of
// sectors, of which more than [container.MaxPieces] are refused.
func Open(r io.ReaderAt, size int64, source extent.Digest) (*container.Disk, error) {
	return OpenOver(r, size, source, nil)
}

// OpenOver is [Open] for differencing files too. What such a file leaves to its
// parent becomes extents of the disk that find returns for the name it has in the
// file; it must have the size of the file's own disk.
func OpenOver(r io.ReaderAt, size int64, source extent.Digest, find container.FindParent) (*container.Disk, error) {
	disk, err := open(&reader{file: container.File{Reader: r, Size: size}, find: find, disk: container.Sectors{Source: source}})
	if err != nil {
		return nil, fmt.Errorf("open VHD file of %d bytes: %w", size, err)
	}
	return &container.Disk{Map: disk}, nil
}

func open(r *reader) (*extent.Map, error) {
	if err := r.readFooter(); err != nil {
		return nil, err
	}
	if r.footer.diskType == typeFixed {
		return r.fixed()
	}
	r.used.Add("copy of the footer", 0, footerSize)
	if err := r.readHeader(); err != nil {
		return nil, err
	}
	if err := r.readBlocks(); err != nil {
		return nil, err
	}
	r.used.Add("footer", r.end, r.file.Size-r.end)
	if err := r.used.Check(); err != nil {
		return nil, err
	}
	return r.disk.Build()
}

// reader reads a VHD file.
type reader struct {
	file container.File
	find container.FindParent

	footer footer
	header header
	end    int64 // where the footer at the end begins, or the file ends

	used container.Ranges
	disk container.Sectors
}

// fixed returns the disk that is all of the file before its footer.
func (r *reader) fixed() (*extent.Map, error) {
	size := int64(r.footer.size())
	if size > r.end {
		return nil, fmt.Errorf("%w: the fixed disk of %d bytes lies in %d bytes before the footer: is the file whole?",
			container.ErrFormat, size, r.end)
	}
	r.disk.Hold(0, size)
	return r.disk.Build()
}

// readBlocks reads the block allocation table and the blocks' bitmaps, and
// builds the disk.
func (r *reader) readBlocks() error {
	h := r.header
	return r.file.Entries("block allocation table", h.tableOffset, h.entries, entrySize, func(block int64, entry []byte) error {
		return r.addBlock(block, binary.BigEndian.Uint32(entry))
	})
}

// addBlock appends a block to the disk. entry is what the table has for it.
func (r *reader) addBlock(number int64, entry uint32) error {
	at := number * r.header.blockSize
	size := min(r.header.blockSize, int64(r.footer.size())-at)
	if entry == unallocated {
		r.disk.Leave(size)
		return nil
	}
	bitmapSize := bitmapSize(r.header.blockSize)
	off := int64(entry) * sectorSize
	if err := r.file.Contains("block", uint64(off), bitmapSize+r.header.blockSize); err != nil {
		return err
	}
	if err := r.used.Join("block", off, bitmapSize+r.header.blockSize); err != nil {
		return err
	}
	bitmap, err := r.file.Bytes("bitmap", uint64(off), container.DivideUp(size, sectorSize*8))
	if err != nil {
		return err
	}
	r.fixBitOrder(bitmap)
	return r.disk.Choose(bitmap, sectorSize, off+bitmapSize, size)
}

// bitmapSize returns the length of the bitmap of a block, in bytes: a bit for
// each sector, in whole sectors.
func bitmapSize(block int64) int64 {
	return container.DivideUp(block, sectorSize*8*sectorSize) * sectorSize
}

// fixBitOrder makes the highest bit of each byte that of its first sector.
func (r *reader) fixBitOrder(bitmap []byte) {
	if r.footer.creator != creatorTapdisk || r.footer.revision != tapdiskReversed {
		return
	}
	for i, b := range bitmap {
		bitmap[i] = bits.Reverse8(b)
	}
}
