package vdi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// Open returns the disk in a VDI file, dynamic or static, as an extent map over
// the file's own bytes: r reads the file, size is its length in bytes, and source
// is the digest by which the map names it. Blocks that are unallocated or
// discarded become zero extents. As in QEMU, a disk of odd size is as long as its
// last sector.
//
// Every offset is checked to lie within the file, and no two things may stand in
// one place. What is wrong is refused with container.ErrFormat, files that hold
// only the changes to another with container.ErrUnsupported.
//
// Memory is bounded by what the file really holds: some 60 bytes for each run of
// blocks.
func Open(r io.ReaderAt, size int64, source extent.Digest) (*container.Disk, error) {
	disk, err := open(&reader{file: container.File{Reader: r, Size: size}, source: source})
	if err != nil {
		return nil, fmt.Errorf("open VDI file of %d bytes: %w", size, err)
	}
	return &container.Disk{Map: disk}, nil
}

func open(r *reader) (*extent.Map, error) {
	if err := r.readHeader(); err != nil {
		return nil, err
	}
	if err := r.readMap(); err != nil {
		return nil, err
	}
	if err := r.used.Check(); err != nil {
		return nil, err
	}
	return r.disk.Build()
}

// reader reads a VDI file.
type reader struct {
	file   container.File
	source extent.Digest

	mapOffset, dataOffset int64
	size                  int64 // of the disk, in bytes
	blockSize, blockExtra int64 // bytes
	blocks                int64 // that the disk needs

	used container.Ranges
	disk extent.Builder
}

func (r *reader) readHeader() error {
	le := binary.LittleEndian
	p, err := r.file.Bytes("header", 0, headerSize)
	if err != nil {
		return err
	}
	if got := le.Uint32(p[headerSignature:]); got != signature {
		return fmt.Errorf("%w: the signature is %#08x, not %#08x", container.ErrFormat, got, signature)
	}
	if v := le.Uint32(p[headerVersion:]); v != version {
		return fmt.Errorf("%w: version %d.%d; want 1.1: convert it with VBoxManage clonemedium", container.ErrUnsupported, v>>16, v&0xffff)
	}
	n := int64(le.Uint32(p[headerLength:]))
	if n < minLength {
		return fmt.Errorf("%w: a header of %d bytes; want %d or more", container.ErrFormat, n, minLength)
	}
	r.used.Add("header", 0, headerLength+n)
	if err := checkAlone(p); err != nil {
		return err
	}
	if err := r.readSizes(p); err != nil {
		return err
	}
	entries := int64(le.Uint32(p[headerBlocks:]))
	if entries < r.blocks {
		return fmt.Errorf("%w: the block map has %d entries, the disk of %d bytes needs %d", container.ErrFormat, entries, r.size, r.blocks)
	}
	r.mapOffset, r.dataOffset = int64(le.Uint32(p[headerMapOffset:])), int64(le.Uint32(p[headerDataOffset:]))
	if r.mapOffset%sectorSize != 0 || r.dataOffset%sectorSize != 0 {
		return fmt.Errorf("%w: the block map at %d and the blocks at %d are not both at sectors", container.ErrFormat, r.mapOffset, r.dataOffset)
	}
	if err := r.file.Contains("block map", uint64(r.mapOffset), entries*entrySize); err != nil {
		return err
	}
	r.used.Add("block map", r.mapOffset, entries*entrySize)
	return nil
}

// checkAlone refuses files that hold only the changes to another.
func checkAlone(p []byte) error {
	le := binary.LittleEndian
	none := make([]byte, 16)
	kind := le.Uint32(p[headerType:])
	switch {
	case kind == typeUndo || kind == typeDifferencing,
		!bytes.Equal(p[headerLink:headerLink+16], none), !bytes.Equal(p[headerParent:headerParent+16], none):
		return fmt.Errorf("%w: the file holds only what differs from a parent, which it names by a UUID; merge the two first: VBoxManage clonemedium",
			container.ErrUnsupported)
	case kind != typeDynamic && kind != typeStatic:
		return fmt.Errorf("%w: image type %d; want 1 (dynamic) or 2 (static)", container.ErrUnsupported, kind)
	}
	return nil
}

// readSizes reads how large the disk and its blocks are.
func (r *reader) readSizes(p []byte) error {
	le := binary.LittleEndian
	if n := le.Uint32(p[headerSector:]); n != sectorSize {
		return fmt.Errorf("%w: sectors of %d bytes; want %d", container.ErrUnsupported, n, sectorSize)
	}
	r.blockSize, r.blockExtra = int64(le.Uint32(p[headerBlockSize:])), int64(le.Uint32(p[headerBlockExtra:]))
	if bits.OnesCount64(uint64(r.blockSize)) != 1 || r.blockSize < sectorSize || r.blockExtra%sectorSize != 0 {
		return fmt.Errorf("%w: blocks of %d bytes with %d before them; want a power of two from %d, and whole sectors",
			container.ErrFormat, r.blockSize, r.blockExtra, sectorSize)
	}
	size := le.Uint64(p[headerDiskSize:])
	if size > maxBlocks*uint64(r.blockSize) {
		return fmt.Errorf("%w: a disk of %d bytes; at most %d blocks, of %d bytes each, are read", container.ErrUnsupported, size, maxBlocks, r.blockSize)
	}
	r.size = container.AlignUp(int64(size), sectorSize)
	r.blocks = container.DivideUp(r.size, r.blockSize)
	return nil
}

// readMap reads the block map and builds the disk.
func (r *reader) readMap() error {
	return r.file.Entries("block map", uint64(r.mapOffset), r.blocks, entrySize, func(block int64, entry []byte) error {
		return r.addBlock(block, binary.LittleEndian.Uint32(entry))
	})
}

// addBlock appends a block to the disk. entry is what the map has for it.
func (r *reader) addBlock(block int64, entry uint32) error {
	n := min(r.blockSize, r.size-block*r.blockSize)
	if entry == unallocated || entry == discarded {
		r.disk.Zero(n)
		return nil
	}
	off := uint64(r.dataOffset) + uint64(entry)*uint64(r.blockSize+r.blockExtra)
	if err := r.file.Contains("block", off, r.blockExtra+n); err != nil {
		return err
	}
	if err := r.used.Join("block", int64(off), r.blockExtra+n); err != nil {
		return err
	}
	r.disk.Source(r.source, int64(off)+r.blockExtra, n)
	return nil
}
