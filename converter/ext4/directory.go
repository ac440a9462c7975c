package ext4

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Directory blocks (ext4 doc, "Directory Entries").
const (
	entryHeaderSize    = 8
	dirTailSize        = 12 // a false entry with the checksum
	dirTailType        = 0xDE
	lostAndFoundName   = "lost+found"
	lostAndFoundBlocks = 4 // e2fsck needs room to link files without allocating
)

// dirEntry is a name in a directory.
type dirEntry struct {
	name        string
	ino         uint32
	fileType    uint8
	hash, minor uint32
}

// entrySize returns what an entry with a name of n bytes takes at least.
func entrySize(n int) int { return entryHeaderSize + (n+3)&^3 }

func checkName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("a file is named %q: %w", name, ErrTree)
	case strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("the name %q has a slash or a zero byte: %w", name, ErrTree)
	case len(name) > maxNameLength:
		return fmt.Errorf("the name has %d bytes, a name can have %d: %w", len(name), maxNameLength, ErrTree)
	}
	return nil
}

// dirWriter writes the blocks of one directory.
type dirWriter struct {
	sums checksummer
	ino  uint32
	buf  blocks
	last int // where the last entry of the current block starts
	free int // what is left of the current block
}

// dirBlockRoom returns how many bytes of a block are for entries.
func dirBlockRoom(sums checksummer) int {
	if sums.off {
		return blockSize
	}
	return blockSize - dirTailSize
}

// startBlock begins a block of entries.
func (w *dirWriter) startBlock() {
	w.last = len(w.buf)
	w.free = dirBlockRoom(w.sums)
	w.buf = append(w.buf, make([]byte, blockSize)...)
	w.putLength(w.last, w.free) // an empty block holds one unused entry
}

// fits reports whether the current block has room for an entry.
func (w *dirWriter) fits(name string) bool { return entrySize(len(name)) <= w.free }

// add writes an entry into the current block, which must have room for it. The
// last entry always spans the rest of the block.
func (w *dirWriter) add(e dirEntry) {
	block := len(w.buf) - blockSize
	at := block + dirBlockRoom(w.sums) - w.free
	if at != w.last {
		w.putLength(w.last, at-w.last)
	}
	b := w.buf[at:]
	binary.LittleEndian.PutUint32(b, e.ino)
	w.putLength(at, w.free)
	b[6] = uint8(len(e.name))
	b[7] = e.fileType
	copy(b[entryHeaderSize:], e.name)
	w.last = at
	w.free -= entrySize(len(e.name))
}

func (w *dirWriter) putLength(entry, n int) {
	binary.LittleEndian.PutUint16(w.buf[entry+4:], uint16(n))
}

// endBlock completes a block of entries.
func (w *dirWriter) endBlock() {
	if w.sums.off {
		return
	}
	block := w.buf[len(w.buf)-blockSize:]
	tail := block[blockSize-dirTailSize:]
	binary.LittleEndian.PutUint16(tail[4:], dirTailSize)
	tail[7] = dirTailType
	w.sums.tail(block, w.ino, blockSize-dirTailSize)
}

// buildDirectory returns the blocks of a directory, and whether they are a hash
// tree: they are where the entries do not fit in one block. lost+found stays a
// list, which e2fsck can add to without an index.
func (c *collector) buildDirectory(n *node, parent uint32, entries []dirEntry) (data blocks, indexed bool, err error) {
	size := entrySize(len(".")) + entrySize(len(".."))
	for _, e := range entries {
		size += entrySize(len(e.name))
	}
	w := &dirWriter{sums: c.sums, ino: n.ino}
	switch {
	case n.ino == lostAndFoundIno:
		return w.list(parent, entries, lostAndFoundBlocks), false, nil
	case size <= dirBlockRoom(c.sums):
		return w.list(parent, entries, 1), false, nil
	}
	data, err = w.tree(parent, entries, c.hasher)
	return data, true, err
}

// list writes the entries in order into at least minBlocks blocks.
func (w *dirWriter) list(parent uint32, entries []dirEntry, minBlocks int) blocks {
	w.startBlock()
	w.add(dirEntry{name: ".", ino: w.ino, fileType: dirEntryType})
	w.add(dirEntry{name: "..", ino: parent, fileType: dirEntryType})
	w.pack(entries, nil)
	for len(w.buf) < minBlocks*blockSize {
		w.startBlock()
		w.endBlock()
	}
	return w.buf
}

// pack adds the entries to the current block and to more, and completes them.
// It calls started with the first entry of each block it starts.
func (w *dirWriter) pack(entries []dirEntry, started func(i int)) {
	for i, e := range entries {
		if !w.fits(e.name) {
			w.endBlock()
			w.startBlock()
			if started != nil {
				started(i)
			}
		}
		w.add(e)
	}
	w.endBlock()
}

const dirEntryType = 2 // fileType of a directory
