package ext4

import (
	"encoding/binary"

	"github.com/cloudlets/cloudlets/converter/container"
)

// The tree that maps a file's blocks (ext4 doc, "Extent Tree").
const (
	extentMagic      = 0xF30A
	extentEntrySize  = 12 // of the header and of every entry
	extentsInInode   = inodeBlockSize/extentEntrySize - 1
	extentsPerBlock  = blockSize/extentEntrySize - 1
	extentTailOffset = (1 + extentsPerBlock) * extentEntrySize
	maxExtentBlocks  = 32768 // more would mean an unwritten extent
)

// diskExtent is one entry of the tree: of a leaf, where count blocks from
// physical on hold those of the file from logical on; or of an index, where
// physical is the block of the subtree that starts at logical.
type diskExtent struct {
	logical, physical, count uint32
}

// diskExtents returns the leaf entries of a node that was placed.
func (p *plan) diskExtents(n *node) []diskExtent {
	var extents []diskExtent
	for _, piece := range p.pieces[n.firstPiece:n.endPiece] {
		e := diskExtent{piece.logical, piece.physical, piece.count}
		for e.count > maxExtentBlocks {
			extents = append(extents, diskExtent{e.logical, e.physical, maxExtentBlocks})
			e.logical += maxExtentBlocks
			e.physical += maxExtentBlocks
			e.count -= maxExtentBlocks
		}
		extents = append(extents, e)
	}
	return extents
}

// extentTreeBlocks returns how many blocks besides the inode the tree of n
// extents takes.
func extentTreeBlocks(n uint64) uint64 {
	var total uint64
	for n > extentsInInode {
		n = container.DivideUp(n, extentsPerBlock)
		total += n
	}
	return total
}

// buildExtentTree sets the node's root, and returns the content of its
// treeBlocks, the leaves first.
func (p *plan) buildExtentTree(n *node, entries []diskExtent) []blocks {
	var tree []blocks
	depth := uint16(0)
	for len(entries) > extentsInInode {
		var parents []diskExtent
		for len(entries) > 0 {
			k := min(len(entries), extentsPerBlock)
			parents = append(parents, diskExtent{entries[0].logical, n.treeBlocks[len(tree)], 0})
			tree = append(tree, p.extentBlock(n.ino, entries[:k], depth))
			entries = entries[k:]
		}
		entries = parents
		depth++
	}
	n.root = new([inodeBlockSize]byte)
	putExtents(n.root[:], entries, depth)
	return tree
}

func (p *plan) extentBlock(ino uint32, entries []diskExtent, depth uint16) blocks {
	b := make(blocks, blockSize)
	putExtents(b[:extentTailOffset], entries, depth)
	p.sums.tail(b, ino, extentTailOffset)
	return b
}

// putExtents encodes one node of the tree; b is all the room it has.
func putExtents(b []byte, entries []diskExtent, depth uint16) {
	le := binary.LittleEndian
	le.PutUint16(b[0:], extentMagic)
	le.PutUint16(b[2:], uint16(len(entries)))
	le.PutUint16(b[4:], uint16(len(b)/extentEntrySize-1))
	le.PutUint16(b[6:], depth)
	for i, e := range entries {
		b := b[(1+i)*extentEntrySize:]
		le.PutUint32(b[0:], e.logical)
		if depth > 0 {
			le.PutUint32(b[4:], e.physical)
			continue
		}
		le.PutUint16(b[4:], uint16(e.count))
		le.PutUint32(b[8:], e.physical)
	}
}
