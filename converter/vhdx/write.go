package vhdx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// ErrTooLarge is wrapped when a disk is larger than any VHDX may be, 64 TiB.
var ErrTooLarge = errors.New("too large for VHDX")

// Options say how a VHDX file is laid out. The zero Options are the defaults: a
// dynamic file.
type Options struct {
	// BlockSize is the unit of allocation in bytes: a power of two from 1 MiB to
	// 256 MiB. 0 is 1 MiB, or what keeps the block allocation table of a disk over
	// 1 TiB within 8 MiB. Hyper-V's own default is 32 MiB; Microsoft recommends
	// 1 MiB for Linux guests, whose filesystems spread small writes, and the file
	// is no larger than its data.
	BlockSize int64
	// Fixed asks for a file that holds every block, zero or not.
	Fixed bool
	// ID is the disk's UUID, in the order of its text form. Zero is one that is
	// derived from the disk.
	ID [16]byte
	// Parent asks for a differencing file, which holds only the blocks that differ
	// from the parent and names it by its digest. Nil is none. The parent was
	// compared with the disk, and has its size. No other program finds a parent
	// so: it is for reading with [OpenOver].
	Parent *container.Base
}

// Write returns the VHDX file of a disk: headers, an empty log, metadata, block
// allocation table, then the blocks in the order of the disk, so that reading the
// file once reads the disk once. Blocks that are wholly zero extents are left
// out. Sectors have 512 bytes; a disk that is not a multiple of them is padded
// with zeros.
//
// The same disk and options give the same file. The map carries 8 bytes for every
// block that holds data.
func Write(disk *extent.Map, opts Options) (*extent.Map, error) {
	l, err := plan(disk, opts)
	if err != nil {
		return nil, fmt.Errorf("write VHDX of a disk of %d bytes: %w", disk.Size(), err)
	}
	var b extent.Builder
	b.Inline(l.headerSection())
	b.ZeroTo(metadataAt)
	b.Inline(l.metadata())
	b.ZeroTo(tableAt)
	l.writeTable(&b)
	container.AppendGrains(&b, disk, l.data, l.blockSize)
	file, err := b.Build()
	if err != nil {
		return nil, fmt.Errorf("write VHDX of a disk of %d bytes: %w", disk.Size(), err)
	}
	return file, nil
}

// Where our files have their parts. Each is a multiple of 1 MiB.
const (
	logAt        = 1 * mib
	logSize      = 1 * mib
	metadataAt   = 2 * mib
	metadataSize = 1 * mib
	tableAt      = 3 * mib
)

// layout is where everything in the file stands, and what its headers say.
type layout struct {
	id        guid
	size      int64 // bytes of disk, a multiple of sectorSize
	blockSize int64 // bytes
	blocks    int64 // that the disk has
	fixed     bool
	parent    *container.Base

	data []container.Run // the blocks that the file holds
}

func plan(disk *extent.Map, opts Options) (*layout, error) {
	if disk.Size() > maxSize {
		return nil, fmt.Errorf("%w: at most %d bytes (64 TiB) fit", ErrTooLarge, int64(maxSize))
	}
	l := &layout{
		id:        container.UUID(opts.ID, disk, "VHDX"),
		size:      container.AlignUp(disk.Size(), sectorSize),
		blockSize: opts.BlockSize,
		fixed:     opts.Fixed,
		parent:    opts.Parent,
	}
	if l.blockSize == 0 {
		l.blockSize = defaultBlockSize(l.size)
	}
	if !validBlockSize(l.blockSize) {
		return nil, fmt.Errorf("block size %d: want a power of two from %d to %d", l.blockSize, minBlockSize, maxBlockSize)
	}
	l.blocks = container.DivideUp(l.size, l.blockSize)
	return l, l.findData(disk)
}

// defaultBlockSize returns the smallest block size with which a table has at most
// a million entries.
func defaultBlockSize(size int64) int64 {
	const entries = 1 << 20
	block := int64(minBlockSize)
	for container.DivideUp(size, block) > entries {
		block *= 2
	}
	return block
}

func validBlockSize(n int64) bool {
	return n >= minBlockSize && n <= maxBlockSize && bits.OnesCount64(uint64(n)) == 1
}

// findData lists the blocks that the file holds.
func (l *layout) findData(disk *extent.Map) error {
	switch {
	case l.fixed && l.parent != nil:
		return errors.New("a fixed disk has no parent")
	case l.fixed && l.blocks > 0:
		l.data = []container.Run{{First: 0, Count: l.blocks}}
	case l.parent != nil:
		l.data = l.parent.Runs(l.blockSize)
		return l.checkParent()
	default:
		l.data = container.Runs(disk, l.blockSize)
	}
	return nil
}

// checkParent refuses a parent of another size: Hyper-V opens no such chain.
func (l *layout) checkParent() error {
	if size := container.AlignUp(l.parent.Map.Size(), sectorSize); size != l.size {
		return fmt.Errorf("the parent is a disk of %d bytes: a differencing VHDX has the size of its parent", size)
	}
	return nil
}

// tableSize returns the length of the block allocation table's region in bytes.
func (l *layout) tableSize() int64 {
	entries := tableEntries(l.blocks, chunkRatio(l.blockSize, sectorSize), l.parent != nil)
	return max(1, container.DivideUp(entries*entrySize, mib)) * mib
}

// tableEntries returns how many entries a table has for so many payload blocks
// (2.5). The bitmaps of differencing files have entries for every chunk.
func tableEntries(blocks, ratio int64, differencing bool) int64 {
	switch {
	case blocks == 0:
		return 0
	case differencing:
		return container.DivideUp(blocks, ratio) * (ratio + 1)
	}
	return blocks + (blocks-1)/ratio
}

// writeTable appends the block allocation table: where the blocks stand, one
// after the other behind it. All other entries are zero: not present.
func (l *layout) writeTable(b *extent.Builder) {
	t := container.NewTable(b, binary.LittleEndian)
	next := uint64(tableAt + l.tableSize())
	ratio := chunkRatio(l.blockSize, sectorSize)
	for _, run := range l.data {
		for block := run.First; block < run.End(); block++ {
			t.SkipTo(tableAt + (block+block/ratio)*entrySize)
			t.Uint64(next | stateFull)
			next += uint64(l.blockSize)
		}
	}
	t.Close(tableAt + l.tableSize())
}
