package vhd

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// ErrTooLarge is wrapped when a disk is larger than any VHD may be, 2040 GiB.
var ErrTooLarge = errors.New("too large for VHD")

// AzureAlign is what Azure wants the sizes of disks to be a multiple of, in bytes.
const AzureAlign = 1 << 20

// Options say how a VHD file is laid out. The zero Options are the defaults: a
// dynamic file.
type Options struct {
	// Fixed asks for the disk as it is with a footer behind it.
	Fixed bool
	// Align is what the size of the disk is rounded up to a multiple of, in bytes:
	// a multiple of 512; 0 is 512. What is added is zeros.
	Align int64
	// ID is the disk's UUID, in the order of its text form. Zero is one that is
	// derived from the disk.
	ID [16]byte
	// Parent asks for a differencing file, which holds only the blocks that differ
	// from the parent and names it by its digest. Nil is none. The parent was
	// compared with the disk, and has its size. No other program finds a parent
	// so: it is for reading with [OpenOver].
	Parent *container.Base
}

// Write returns the VHD file of a disk. A dynamic file has blocks of 2 MiB in the
// order of the disk, so that reading the file once reads the disk once; blocks
// that are wholly zero extents are left out. A disk whose size is not a multiple
// of Options.Align is padded with zeros.
//
// The disk has exactly that size for every reader: the footer names a creator
// whose sizes are not rounded to a geometry.
//
// The same disk and options give the same file; no clock is read. The map carries
// about 512 bytes for every block that holds data and 4 for every other.
func Write(disk *extent.Map, opts Options) (*extent.Map, error) {
	file, err := write(disk, opts)
	if err != nil {
		return nil, fmt.Errorf("write VHD of a disk of %d bytes: %w", disk.Size(), err)
	}
	return file, nil
}

func write(disk *extent.Map, opts Options) (*extent.Map, error) {
	align := max(opts.Align, sectorSize)
	if align%sectorSize != 0 || opts.Align < 0 {
		return nil, fmt.Errorf("alignment of %d bytes: want a multiple of %d", opts.Align, sectorSize)
	}
	if disk.Size() > maxSize || container.DivideUp(disk.Size(), align) > maxSize/align {
		return nil, fmt.Errorf("%w: at most %d bytes (2040 GiB) fit, use VHDX", ErrTooLarge, int64(maxSize))
	}
	size := container.AlignUp(disk.Size(), align)
	foot := footer{
		diskType:   typeDynamic,
		dataOffset: footerSize,
		creator:    creatorWindows,
		revision:   creatorRevision,
		geometry:   chs(size),
		current:    uint64(size),
		id:         container.UUID(opts.ID, disk, "VHD"),
	}
	switch {
	case opts.Fixed && opts.Parent != nil:
		return nil, errors.New("a fixed disk has no parent")
	case opts.Fixed:
		return writeFixed(disk, foot)
	case opts.Parent != nil:
		foot.diskType = typeDifferencing
		return writeDifferencing(disk, foot, opts.Parent)
	}
	return writeSparse(disk, foot, header{}, container.Runs(disk, blockSize))
}

func writeFixed(disk *extent.Map, foot footer) (*extent.Map, error) {
	foot.diskType, foot.dataOffset = typeFixed, noOffset
	var b extent.Builder
	container.AppendPadded(&b, disk, 0, int64(foot.current))
	b.Inline(foot.encode())
	return b.Build()
}

func writeDifferencing(disk *extent.Map, foot footer, parent *container.Base) (*extent.Map, error) {
	if size := container.AlignUp(parent.Map.Size(), sectorSize); size != int64(foot.current) {
		return nil, fmt.Errorf("the parent is a disk of %d bytes: a differencing VHD has the size of its parent", size)
	}
	head := header{
		parentName: string(parent.Digest),
		parentID:   container.UUID([16]byte{}, parent.Map, "VHD"),
	}
	return writeSparse(disk, foot, head, parent.Runs(blockSize))
}

// writeSparse writes a dynamic or differencing file that holds the blocks of
// runs.
func writeSparse(disk *extent.Map, foot footer, head header, runs []container.Run) (*extent.Map, error) {
	const tableAt = footerSize + headerSize
	head.tableOffset = tableAt
	head.entries = container.DivideUp(int64(foot.current), blockSize)
	head.blockSize = blockSize
	// The table fills its last sector.
	entries := container.AlignUp(head.entries, sectorSize/entrySize)

	var b extent.Builder
	b.Grow(disk.Len()+int(2*container.Grains(runs)),
		int(disk.InlineSize()+tableAt+entries*entrySize+container.Grains(runs)*bitmapSize(blockSize)+footerSize))
	b.Inline(foot.encode())
	b.Inline(head.encode())
	writeTable(&b, runs, entries)
	writeBlocks(&b, disk, runs)
	b.Inline(foot.encode())
	return b.Build()
}

// writeTable appends the block allocation table: where the blocks of runs stand,
// one after the other behind the table.
func writeTable(b *extent.Builder, runs []container.Run, entries int64) {
	t := container.NewTable(b, binary.BigEndian)
	end := b.Size() + entries*entrySize
	next := uint32(end / sectorSize)
	number := int64(0)
	for _, run := range runs {
		for ; number < run.First; number++ {
			t.Uint32(unallocated)
		}
		for ; number < run.End(); number++ {
			t.Uint32(next)
			next += uint32((bitmapSize(blockSize) + blockSize) / sectorSize)
		}
	}
	for ; number < entries; number++ {
		t.Uint32(unallocated)
	}
	t.Close(end)
}

// writeBlocks appends the blocks of runs, each behind a bitmap that says that it
// has all of its sectors.
func writeBlocks(b *extent.Builder, disk *extent.Map, runs []container.Run) {
	full := make([]byte, bitmapSize(blockSize))
	for i := range full {
		full[i] = 0xff
	}
	for _, run := range runs {
		for number := run.First; number < run.End(); number++ {
			b.Inline(full)
			container.AppendPadded(b, disk, number*blockSize, blockSize)
		}
	}
}
