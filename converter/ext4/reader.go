package ext4

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// reader reads the blocks of a filesystem.
type reader struct {
	file   container.File
	source extent.Digest

	foreign
	tables   map[uint32]uint64 // where the inode table of a group begins
	shared   map[uint64]*sharedXattrs
	replayed map[uint64]replayedBlock
	cache    [cachedBlocks]cachedBlock
	memory   container.Memory  // of the tree
	claimed  map[uint64]uint32 // blocks of metadata and the inodes they belong to
	used     []blockRange      // blocks of content
}

func newReader(r io.ReaderAt, size int64, source extent.Digest) *reader {
	return &reader{file: container.File{Reader: r, Size: size}, source: source, memory: container.Memory{Limit: container.MaxTree}}
}

// cachedBlocks is how many blocks of metadata are kept, by the low bits of their
// numbers: tables of inodes are read many times over.
const cachedBlocks = 64

type cachedBlock struct {
	number uint64
	data   []byte
}

// blockRange is a run of blocks that belong to a file.
type blockRange struct {
	start, end uint64
	ino        uint32
}

// block returns a block as it is once the journal was played back. The caller
// must not change it.
func (r *reader) block(number uint64) ([]byte, error) {
	if err := r.inside(number, 1); err != nil {
		return nil, err
	}
	c := &r.cache[number%cachedBlocks]
	if c.data != nil && c.number == number {
		return c.data, nil
	}
	at, escaped := number, false
	if moved, ok := r.replayed[number]; ok {
		at, escaped = moved.at, moved.escaped
	}
	data, err := r.file.Bytes("block", at*uint64(r.blockSize), r.blockSize)
	if err != nil {
		return nil, err
	}
	if escaped {
		copy(data, journalMagicBytes)
	}
	*c = cachedBlock{number, data}
	return data, nil
}

// inside checks that blocks lie in the filesystem.
func (r *reader) inside(number, count uint64) error {
	if number < uint64(r.FirstDataBlock) || number >= r.blocks || count > r.blocks-number {
		return fmt.Errorf("%w: the %d blocks from %d on lie outside its %d blocks", container.ErrFormat, count, number, r.blocks)
	}
	return nil
}

// claim reads a block of metadata for the one inode that may have it.
func (r *reader) claim(number uint64, ino uint32) ([]byte, error) {
	if owner, taken := r.claimed[number]; taken {
		return nil, fmt.Errorf("%w: block %d belongs to inode %d already", container.ErrFormat, number, owner)
	}
	data, err := r.block(number)
	if err != nil {
		return nil, err
	}
	if r.claimed == nil {
		r.claimed = make(map[uint64]uint32)
	}
	r.claimed[number] = ino
	return data, nil
}

// use notes that a file has blocks, to be compared with all others at the end.
func (r *reader) use(number, count uint64, ino uint32) error {
	if err := r.inside(number, count); err != nil {
		return err
	}
	r.used = append(r.used, blockRange{number, number + count, ino})
	return r.memory.Spend(container.ExtentMemory) // for what the blocks hold, too
}

// checkOverlaps refuses blocks that belong to two files, or to one twice, unless
// the filesystem says that it shares blocks.
func (r *reader) checkOverlaps() error {
	if r.ROCompat&roCompatSharedBlocks != 0 {
		return nil
	}
	for number, ino := range r.claimed {
		r.used = append(r.used, blockRange{number, number + 1, ino})
	}
	slices.SortFunc(r.used, func(a, b blockRange) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.ino, b.ino))
	})
	for i := 1; i < len(r.used); i++ {
		if a, b := r.used[i-1], r.used[i]; a.end > b.start {
			return fmt.Errorf("%w: block %d belongs to inode %d and to inode %d; run e2fsck on it first", container.ErrFormat, b.start, a.ino, b.ino)
		}
	}
	return nil
}
