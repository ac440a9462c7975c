package ext4

import "github.com/cloudlets/cloudlets/converter/container"

// allocator hands out blocks in ascending order, around the regions.
type allocator struct {
	regions []region // that start at next or later, sorted
	next    uint64   // all blocks below are in use
}

// piece is a run of blocks with what fills them.
type piece struct {
	physical, count uint32
	logical         uint32 // the first block's place in the content
	content         content
}

// alloc returns where the next free blocks are, at most n of them in a row.
func (a *allocator) alloc(n uint32) (start, count uint32) {
	for len(a.regions) > 0 && a.regions[0].start == a.next {
		a.next = a.regions[0].end()
		a.regions = a.regions[1:]
	}
	start = uint32(a.next)
	if len(a.regions) > 0 {
		n = uint32(min(uint64(n), a.regions[0].start-a.next))
	}
	a.next += uint64(n)
	return start, n
}

// place allocates the blocks of a node's content, then those of its extent
// tree, and remembers them for the output.
func (p *plan) place(n *node) {
	n.firstPiece = len(p.pieces)
	for _, r := range n.runs {
		p.placeRun(r, n.content)
	}
	n.endPiece = len(p.pieces)
	n.runs = nil
	extents := p.diskExtents(n)
	if len(extents) <= extentsInInode {
		return
	}
	n.treeBlocks = make([]uint32, extentTreeBlocks(uint64(len(extents))))
	for i := range n.treeBlocks {
		n.treeBlocks[i], _ = p.blocks.alloc(1)
	}
	for i, block := range p.buildExtentTree(n, extents) {
		p.pieces = append(p.pieces, piece{physical: n.treeBlocks[i], count: 1, content: block})
	}
}

func (p *plan) placeRun(r run, c content) {
	for r.count > 0 {
		start, count := p.blocks.alloc(r.count)
		p.pieces = append(p.pieces, piece{start, count, r.logical, c})
		r.logical += count
		r.count -= count
	}
}

// placeBlock allocates one block for content that is made once its place is
// known.
func (p *plan) placeBlock(c func(at uint32) blocks) uint32 {
	at, _ := p.blocks.alloc(1)
	p.pieces = append(p.pieces, piece{physical: at, count: 1, content: c(at)})
	return at
}

// blocksNeeded returns an upper bound of the blocks that place will allocate
// for a node. It is exact where the extents fit in the inode.
func (n *node) blocksNeeded() uint64 {
	var total, extents uint64
	for _, r := range n.runs {
		total += uint64(r.count)
		extents += container.DivideUp(uint64(r.count), maxExtentBlocks)
	}
	if total > 1 {
		// The metadata of a group splits a file at most at two places: where a
		// group starts, and where a flex group's tables reach into the next.
		extents += 2 * (total/blocksPerGroup + 1)
	}
	total += extentTreeBlocks(extents)
	if n.xattrs.block != nil {
		total++
	}
	return total
}
