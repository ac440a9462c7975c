package squashfs

import (
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

const (
	maxBlockSize = 1 << maxBlockLog

	// maxReadWords is how many blocks all files together can have: 8 TiB in
	// blocks of 128 KiB. Inodes that lie over each other could have any number.
	maxReadWords = 1 << 26
)

// readBlocks reads the words that describe the blocks of a file, of which size
// bytes are in blocks, and appends them to its content.
func (r *reader) readBlocks(c *cursor, n *image.Inode, start uint64, size int64) error {
	blockSize := int64(r.blockSize)
	blocks := container.DivideUp(size, blockSize)
	if r.words += blocks; blocks > maxBlockWords || r.words > maxReadWords {
		return fmt.Errorf("%w: the file has %d blocks and all up to it %d, expected at most %d and %d", container.ErrUnsupported, blocks, r.words, maxBlockWords, maxReadWords)
	}
	for at := int64(0); at < size; at += blockSize {
		word := c.uint32()
		if c.err != nil {
			return c.err
		}
		e, stored, err := r.readBlock(word, start, min(blockSize, size-at))
		if err != nil {
			return fmt.Errorf("the block at %d of the content: %w", at, err)
		}
		if err := r.memory.Append(n, e); err != nil {
			return err
		}
		start += stored
	}
	return nil
}

// readBlock returns what a block of length bytes is made of, and how many bytes
// it takes in the file, where it starts at a place.
func (r *reader) readBlock(word uint32, at uint64, length int64) (e extent.Extent, stored uint64, err error) {
	if word == 0 {
		return extent.Extent{Length: length}, 0, nil
	}
	n, compressed, err := r.checkWord("data block", word, at)
	if err != nil {
		return e, 0, err
	}
	if !compressed {
		if n != length {
			return e, 0, fmt.Errorf("%w: it is stored in %d bytes and should have %d", container.ErrFormat, n, length)
		}
		return extent.Extent{Kind: extent.Source, Length: length, Digest: r.source, Offset: int64(at)}, uint64(n), nil
	}
	if err := r.memory.Spend(container.UnitMemory); err != nil {
		return e, 0, err
	}
	unit := r.units.Add(int64(at), int(n), int(length))
	return extent.Extent{Kind: extent.Source, Length: length, Digest: container.Unpacked(r.source), Offset: unit}, uint64(n), nil
}

// checkWord returns what a word says of what stands at a place in the file.
func (r *reader) checkWord(what string, word uint32, at uint64) (n int64, compressed bool, err error) {
	n = int64(word &^ blockStored)
	if n == 0 || n > int64(r.blockSize) {
		return 0, false, fmt.Errorf("%w: the %s has %d bytes, expected 1 to %d", container.ErrFormat, what, n, r.blockSize)
	}
	return n, word&blockStored == 0, r.metadata.file.Contains(what, at, n)
}

// tail is the end of a file that is in a fragment.
type tail struct {
	inode          *image.Inode
	fragment       uint32
	offset, length uint32 // in the fragment
}

// addTail notes the end of a file. How much of a fragment is used is known when
// all files are.
func (r *reader) addTail(n *image.Inode, fragment, offset, length uint32) error {
	if fragment >= r.fragments {
		return fmt.Errorf("%w: the end of the file is in fragment %d of %d", container.ErrFormat, fragment, r.fragments)
	}
	if offset > r.blockSize-length {
		return fmt.Errorf("%w: the end of the file is %d bytes at %d of a fragment, which can have %d", container.ErrFormat, length, offset, r.blockSize)
	}
	r.longest[fragment] = max(r.longest[fragment], offset+length)
	r.tails = append(r.tails, tail{inode: n, fragment: fragment, offset: offset, length: length})
	return r.memory.Spend(container.ExtentMemory)
}

// fragment is what a fragment is made of, as far as it is used, and where it
// stands in the file.
type fragment struct {
	extent.Extent
	at int64
}

// readTails gives all files the ends that are in fragments.
func (r *reader) readTails() error {
	fragments := make(map[uint32]fragment, len(r.longest))
	for _, t := range r.tails {
		whole, ok := fragments[t.fragment]
		if !ok {
			var err error
			if whole, err = r.readFragment(t.fragment); err != nil {
				return fmt.Errorf("fragment %d: %w", t.fragment, err)
			}
			fragments[t.fragment] = whole
		}
		if len(t.inode.Content) == 0 {
			t.inode.Order = whole.at
		}
		if err := r.memory.Append(t.inode, whole.Slice(int64(t.offset), int64(t.length))); err != nil {
			return err
		}
	}
	return nil
}

// readFragment reads an entry of the table of fragments.
func (r *reader) readFragment(number uint32) (fragment, error) {
	c := r.metadata.entry("fragment table", r.fragmentTable, uint64(number), fragmentSize)
	at, word := c.uint64(), c.uint32()
	if c.err != nil {
		return fragment{}, c.err
	}
	n, compressed, err := r.checkWord("fragment", word, at)
	if err != nil {
		return fragment{}, err
	}
	used := int64(r.longest[number])
	f := fragment{extent.Extent{Kind: extent.Source, Length: used, Digest: r.source, Offset: int64(at)}, int64(at)}
	switch {
	case compressed:
		f.Digest, f.Offset = container.Unpacked(r.source), r.units.Add(int64(at), int(n), int(used))
		return f, r.memory.Spend(container.UnitMemory)
	case n < used:
		return fragment{}, fmt.Errorf("%w: it has %d bytes, of which files use %d", container.ErrFormat, n, used)
	}
	return f, nil
}
