package vhdx

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// Open returns the disk in a VHDX file, fixed or dynamic, as an extent map over
// the file's own bytes: r reads the file, size is its length in bytes, and source
// is the digest by which the map names it. Blocks that the file does not hold, or
// says are zero or undefined, become zero extents.
//
// Checksums are checked, every offset is checked to lie within the file, and no
// two things may stand in one place. What is wrong is refused with
// container.ErrFormat. Changes in the log, of a file that was not closed, are made
// in what is read: nothing is written. Differencing files are refused with
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
		return nil, fmt.Errorf("open VHDX file of %d bytes: %w", size, err)
	}
	return &container.Disk{Map: disk}, nil
}

func open(r *reader) (*extent.Map, error) {
	r.used.Add("header section", 0, headerSection)
	for _, read := range []func() error{r.readHeader, r.readRegions, r.readMetadata, r.readBlocks} {
		if err := read(); err != nil {
			return nil, err
		}
	}
	if err := r.used.Check(); err != nil {
		return nil, err
	}
	return r.disk.Build()
}

// reader reads a VHDX file.
type reader struct {
	file container.File
	find container.FindParent

	table, metadata region

	size         int64 // of the disk, in bytes
	blockSize    int64 // bytes
	sector       int64 // bytes
	differencing bool

	used  container.Ranges
	disk  container.Sectors
	noted int64 // the chunks up to here have their bitmaps in used
}

// readBlocks reads the block allocation table and builds the disk.
func (r *reader) readBlocks() error {
	blocks, ratio := container.DivideUp(r.size, r.blockSize), chunkRatio(r.blockSize, r.sector)
	entries := tableEntries(blocks, ratio, r.differencing)
	if entries*entrySize > r.table.length {
		return fmt.Errorf("%w: the block allocation table has %d bytes, the disk of %d bytes needs %d entries of %d",
			container.ErrFormat, r.table.length, r.size, entries, entrySize)
	}
	return r.file.Entries("block allocation table", uint64(r.table.offset), entries, entrySize, func(i int64, entry []byte) error {
		chunk, within := i/(ratio+1), i%(ratio+1)
		block := chunk*ratio + within
		if within == ratio || block >= blocks {
			return nil // a bitmap's entry, or none
		}
		return r.addBlock(block, binary.LittleEndian.Uint64(entry))
	})
}

// addBlock appends a block to the disk. entry is what the table has for it.
func (r *reader) addBlock(block int64, entry uint64) error {
	at := block * r.blockSize
	n := min(r.blockSize, r.size-at)
	state, off := entry&entryState, entry&entryOffset
	switch state {
	case stateNotPresent:
		r.disk.Leave(n)
		return nil
	case stateUndefined, stateZero, stateUnmapped, stateOldUnmapped:
		r.disk.Zero(n)
		return nil
	case stateFull, statePartial:
	default:
		return fmt.Errorf("%w: its state is %d", container.ErrFormat, state)
	}
	if err := r.file.Contains("block", off, r.blockSize); err != nil {
		return err
	}
	if err := r.used.Join("block", int64(off), r.blockSize); err != nil {
		return err
	}
	if state == statePartial {
		return r.addSectors(block, int64(off), n)
	}
	r.disk.Hold(int64(off), n)
	return nil
}

// addSectors appends n bytes of a block at off of the file, of which the bitmap
// of its chunk says what is the parent's.
func (r *reader) addSectors(block, off, n int64) error {
	if !r.differencing {
		return fmt.Errorf("%w: it is partly that of a parent, but the file has none", container.ErrFormat)
	}
	bitmap, err := r.bitmap(block)
	if err != nil {
		return err
	}
	return r.disk.Choose(bitmap, r.sector, off, n)
}

// bitmap returns the bits of a block (2.5.1.2): part of the bitmap of its chunk.
func (r *reader) bitmap(block int64) (container.Bitmap, error) {
	ratio := chunkRatio(r.blockSize, r.sector)
	chunk, within := block/ratio, block%ratio
	p, err := r.file.Bytes("block allocation table", uint64(r.table.offset+(chunk*(ratio+1)+ratio)*entrySize), entrySize)
	if err != nil {
		return nil, err
	}
	entry := binary.LittleEndian.Uint64(p)
	if entry&entryState != stateBitmapPresent {
		return nil, fmt.Errorf("%w: the bitmap of its chunk has the state %d", container.ErrFormat, entry&entryState)
	}
	off, size := entry&entryOffset, r.blockSize/r.sector/8
	if err := r.file.Contains("bitmap", off, mib); err != nil {
		return nil, err
	}
	if r.noted != chunk+1 {
		r.used.Add("bitmap", int64(off), mib)
		r.noted = chunk + 1
	}
	bitmap, err := r.file.Bytes("bitmap", off+uint64(within*size), size)
	for i, b := range bitmap {
		bitmap[i] = bits.Reverse8(b) // the lowest bit is that of the first sector
	}
	return bitmap, err
}
