package ext4

import (
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
)

// geometry is how a filesystem of a given number of blocks is divided.
type geometry struct {
	blocks         uint64 // in use; the rest of the size asked for is left out
	groups         uint32
	descSize       uint32 // of one group descriptor, in bytes
	descBlocks     uint32 // that hold the group descriptors
	reservedGDT    uint32 // blocks kept for descriptors of groups to come
	inodesPerGroup uint32
	journalBlocks  uint32
}

// minSpareBlocks is how many blocks besides its metadata a last group must have
// to be kept, as for mke2fs.
const minSpareBlocks = 50

// newGeometry divides blocks, so that there are at least inodes inodes — as far
// as the groups can hold them.
func newGeometry(blocks, inodes uint64, o Options) geometry {
	g := divide(blocks, inodes, o)
	last := blocks % blocksPerGroup
	if g.groups > 1 && last != 0 && last < g.minLastGroup() {
		g = divide(blocks-last, inodes, o)
	}
	return g
}

func divide(blocks, inodes uint64, o Options) geometry {
	g := geometry{blocks: blocks, groups: uint32(max(1, container.DivideUp(blocks, blocksPerGroup))), descSize: descSize64}
	if !o.has(SixtyFourBit) {
		g.descSize = descSize32
	}
	perBlock := uint64(blockSize / g.descSize)
	g.descBlocks = uint32(container.DivideUp(uint64(g.groups), perBlock))
	g.reservedGDT = reservedGDTBlocks(blocks, perBlock, uint64(g.descBlocks))
	g.inodesPerGroup = inodesPerGroup(blocks, inodes, g.groups, o)
	if o.has(Journal) {
		g.journalBlocks = journalBlocks(blocks, o.JournalSize)
	}
	return g
}

// reservedGDTBlocks returns how many blocks to keep for descriptors so that the
// filesystem can grow 1024-fold, at most as many as one block can point to.
func reservedGDTBlocks(blocks, descsPerBlock, used uint64) uint32 {
	target := min(blocks*1024, maxBlocks)
	want := container.DivideUp(container.DivideUp(target, blocksPerGroup), descsPerBlock)
	if want <= used {
		return 1 // an empty resize inode helps nobody
	}
	return uint32(min(want-used, pointersPerBlock))
}

// inodesPerGroup fills whole blocks of the inode table.
func inodesPerGroup(blocks, inodes uint64, groups uint32, o Options) uint32 {
	inodes = max(inodes, blocks*blockSize/uint64(o.InodeRatio))
	perGroup := container.DivideUp(inodes, uint64(groups))
	perGroup = container.AlignUp(perGroup, inodesPerBlock)
	return uint32(min(perGroup, maxInodesPerGroup))
}

// inodeTableBlocks returns the length of one group's inode table.
func (g geometry) inodeTableBlocks() uint64 { return uint64(g.inodesPerGroup / inodesPerBlock) }

// superblockBlocks returns what a copy of the superblock takes with the
// descriptors, and the blocks reserved for more, that follow it.
func (g geometry) superblockBlocks() uint64 { return 1 + uint64(g.descBlocks) + uint64(g.reservedGDT) }

// minLastGroup returns how many blocks the last group must have.
func (g geometry) minLastGroup() uint64 {
	n := 2 + g.inodeTableBlocks() + minSpareBlocks
	if hasSuperblock(g.groups - 1) {
		n += g.superblockBlocks()
	}
	return n
}

// fixedBlocks returns how many blocks the metadata of the groups takes.
func (g geometry) fixedBlocks() uint64 {
	n := uint64(g.groups) * (2 + g.inodeTableBlocks())
	for range superblockGroups(g.groups) {
		n += g.superblockBlocks()
	}
	return n
}

func (g geometry) inodes() uint64 { return uint64(g.groups) * uint64(g.inodesPerGroup) }

// smallestGeometry returns the geometry of the smallest filesystem of at least
// from blocks that holds the content: need says how many blocks a geometry
// needs in all.
func smallestGeometry(from, inodes uint64, o Options, need func(geometry) uint64) (geometry, error) {
	blocks := max(from, minSpareBlocks, blocksPerGroup*(container.DivideUp(inodes, maxInodesPerGroup)-1)+1)
	for blocks <= maxBlocks {
		g := newGeometry(blocks, inodes, o)
		want := need(g)
		if want <= g.blocks && inodes <= g.inodes() {
			return g, nil
		}
		blocks = max(blocks+1, want)
		blocks = keepLastGroup(blocks, inodes, o)
	}
	return geometry{}, fmt.Errorf("%w: the tree and the space that must stay free need more than the %d bytes that ext4 with a resize inode can have",
		ErrTree, uint64(maxSize))
}

// keepLastGroup returns the smallest number of blocks from blocks on of which
// none are left out for a last group that is too small.
func keepLastGroup(blocks, inodes uint64, o Options) uint64 {
	g := divide(blocks, inodes, o)
	if g.groups == 1 || blocks%blocksPerGroup == 0 {
		return blocks
	}
	return max(blocks, uint64(g.groups-1)*blocksPerGroup+g.minLastGroup())
}
