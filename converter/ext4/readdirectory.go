package ext4

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/cloudlets/cloudlets/converter/container"
)

// foreignEntry is a name in a directory.
type foreignEntry struct {
	name string
	ino  uint32
}

// directory returns the names in a directory, without "." and "..". A hash tree
// is read as the list that it also is: to those who do not know of it, its nodes
// are blocks of unused entries.
func (r *reader) directory(n *foreignInode) ([]foreignEntry, error) {
	if n.flags&flagInline != 0 {
		return inlineDirectory(n)
	}
	if n.size == 0 || n.size%uint64(r.blockSize) != 0 {
		return nil, fmt.Errorf("%w: it has %d bytes, want a multiple of the block size, %d", container.ErrFormat, n.size, r.blockSize)
	}
	runs, err := r.runs(n)
	if err != nil {
		return nil, err
	}
	var entries []foreignEntry
	next, end := uint64(0), n.size/uint64(r.blockSize)
	for _, run := range runs {
		if next < end && (run.logical != next || run.unwritten) {
			return nil, fmt.Errorf("%w: its block %d is a hole", container.ErrFormat, next)
		}
		for ; next < min(end, run.logical+run.count); next++ {
			if entries, err = r.directoryBlock(entries, n, next, run.physical+next-run.logical); err != nil {
				return nil, fmt.Errorf("block %d: %w", run.physical+next-run.logical, err)
			}
		}
	}
	if next < end {
		return nil, fmt.Errorf("%w: its block %d is a hole", container.ErrFormat, next)
	}
	return entries, nil
}

func (r *reader) directoryBlock(entries []foreignEntry, n *foreignInode, index, number uint64) ([]foreignEntry, error) {
	b, err := r.claim(number, n.ino)
	if err != nil {
		return nil, err
	}
	if err := r.sums.checkDirectory(b, n, index == 0); err != nil {
		return nil, err
	}
	before := len(entries)
	if entries, err = appendEntries(entries, b); err != nil {
		return nil, err
	}
	for _, e := range entries[before:] {
		if err := r.memory.SpendName(e.name); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// inlineDirectory returns the names in a directory that is kept in its inode: of
// its two parts each is a list (ext4 doc, "Inline Data").
func inlineDirectory(n *foreignInode) ([]foreignEntry, error) {
	entries, err := appendEntries(nil, n.area()[inlineParentSize:])
	if err != nil || len(n.inline) == 0 {
		return entries, err
	}
	return appendEntries(entries, n.inline)
}

// appendEntries appends the names of a list of entries that fills b.
func appendEntries(entries []foreignEntry, b []byte) ([]foreignEntry, error) {
	le := binary.LittleEndian
	for at := 0; at < len(b); {
		e := b[at:]
		if len(e) < entryHeaderSize {
			return nil, fmt.Errorf("%w: %d bytes are left for an entry at %d, want at least %d", container.ErrFormat, len(e), at, entryHeaderSize)
		}
		length, name := entryLength(le.Uint16(e[4:]), len(b)), int(e[6])
		if length%4 != 0 || length < entryHeaderSize || length > len(e) || entryHeaderSize+name > length {
			return nil, fmt.Errorf("%w: the entry at %d has %d bytes, of which %d are its name, where %d are left", container.ErrFormat, at, length, name, len(e))
		}
		at += length
		if le.Uint32(e) == 0 {
			continue
		}
		entry := foreignEntry{string(e[entryHeaderSize:][:name]), le.Uint32(e)}
		if entry.name == "." || entry.name == ".." {
			continue
		}
		if entry.name == "" || strings.ContainsAny(entry.name, "/\x00") {
			return nil, fmt.Errorf("%w: the name %q, want one without a slash or a zero byte", container.ErrFormat, entry.name)
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

// entryLength returns the length of an entry of a block of size bytes: the length
// of a whole block of 64 KiB, which 16 bits do not hold, is written as 0 or 65535,
// and the upper bits of one near it in the two lowest.
func entryLength(stored uint16, size int) int {
	if size < 1<<16 {
		return int(stored)
	}
	if stored == 0 || stored == 1<<16-1 {
		return size
	}
	return int(stored)&^3 | int(stored)&3<<16
}
