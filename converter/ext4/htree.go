package ext4

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cloudlets/cloudlets/converter/container"
)

// The index of a large directory (ext4 doc, "Hash Tree Directories"): the first
// block is the root, disguised as a block with two entries; below it are leaves,
// or blocks of the second level, disguised as blocks without entries.
const (
	dxInfoOffset = 0x18 // in the root
	dxInfoSize   = 8
	dxRootOffset = 0x20 // where the limit, the count and the entries start
	dxNodeOffset = 0x08
	dxEntrySize  = 8
	dxTailSize   = 8
	dxContinued  = 1 // in an entry's hash: the block before ends with the same one
)

// dxEntry points to a block with the entries from a hash on.
type dxEntry struct {
	hash, block uint32
}

// dxLimit returns how many entries a block of the index can have from offset on.
func dxLimit(sums checksummer, offset int) int {
	room := blockSize - offset
	if !sums.off {
		room -= dxTailSize
	}
	return room / dxEntrySize
}

// tree writes the entries, which it sorts, as a hash tree.
func (w *dirWriter) tree(parent uint32, entries []dirEntry, h dirHasher) (blocks, error) {
	for i := range entries {
		entries[i].hash, entries[i].minor = h.hash(entries[i].name)
	}
	slices.SortFunc(entries, func(a, b dirEntry) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.minor, b.minor), cmp.Compare(a.name, b.name))
	})
	leaves := w.leaves(entries)
	rootLimit, nodeLimit := dxLimit(w.sums, dxRootOffset), dxLimit(w.sums, dxNodeOffset)
	nodes := 0
	if len(leaves) > rootLimit {
		nodes = int(container.DivideUp(uint64(len(leaves)), uint64(nodeLimit)))
	}
	if nodes > rootLimit {
		return nil, fmt.Errorf("its %d entries take %d blocks, a directory can have %d: %w",
			len(entries), len(leaves), rootLimit*nodeLimit, ErrTree)
	}
	for i := range leaves {
		leaves[i].block += uint32(1 + nodes)
	}
	return w.index(parent, leaves, nodes), nil
}

// leaves writes the blocks of sorted entries and returns where they are,
// counted from the first leaf.
func (w *dirWriter) leaves(entries []dirEntry) []dxEntry {
	leaves := []dxEntry{{}}
	w.startBlock()
	w.pack(entries, func(i int) {
		hash := entries[i].hash
		if hash == entries[i-1].hash {
			hash |= dxContinued
		}
		leaves = append(leaves, dxEntry{hash, uint32(len(leaves))})
	})
	return leaves
}

// index returns the whole directory: the root, the blocks of the second level
// if there are any, and the leaves written before.
func (w *dirWriter) index(parent uint32, leaves []dxEntry, nodes int) blocks {
	data := make(blocks, (1+nodes)*blockSize, (1+nodes)*blockSize+len(w.buf))
	top := leaves
	if nodes > 0 {
		top = nil
		for i, part := range slices.Collect(slices.Chunk(leaves, dxLimit(w.sums, dxNodeOffset))) {
			w.putNode(data[(1+i)*blockSize:][:blockSize], part)
			top = append(top, dxEntry{part[0].hash, uint32(1 + i)})
		}
	}
	w.putRoot(data[:blockSize], parent, top, nodes > 0)
	return append(data, w.buf...)
}

func (w *dirWriter) putRoot(b []byte, parent uint32, entries []dxEntry, nodes bool) {
	root := &dirWriter{sums: checksummer{off: true}}
	root.startBlock()
	root.add(dirEntry{name: ".", ino: w.ino, fileType: dirEntryType})
	root.add(dirEntry{name: "..", ino: parent, fileType: dirEntryType})
	copy(b, root.buf)
	b[dxInfoOffset+4] = hashHalfMD4
	b[dxInfoOffset+5] = dxInfoSize
	if nodes {
		b[dxInfoOffset+6] = 1 // levels below the root that are not leaves
	}
	w.putIndex(b, dxRootOffset, entries)
}

func (w *dirWriter) putNode(b []byte, entries []dxEntry) {
	binary.LittleEndian.PutUint16(b[4:], blockSize)
	w.putIndex(b, dxNodeOffset, entries)
}

// putIndex encodes entries from offset on. The limit and the count stand where
// the hash of the first entry would, which is taken to be the lowest.
func (w *dirWriter) putIndex(b []byte, offset int, entries []dxEntry) {
	le := binary.LittleEndian
	for i, e := range entries {
		at := offset + i*dxEntrySize
		le.PutUint32(b[at:], e.hash)
		le.PutUint32(b[at+4:], e.block)
	}
	le.PutUint16(b[offset:], uint16(dxLimit(w.sums, offset)))
	le.PutUint16(b[offset+2:], uint16(len(entries)))
	w.sums.index(b, w.ino, offset+len(entries)*dxEntrySize)
}
