package ext4

import (
	"encoding/binary"
	"slices"

	"github.com/cloudlets/cloudlets/extent"
)

// The resize inode is a file made of the blocks that are reserved behind every
// copy of the group descriptors, so that a filesystem can grow while it is
// mounted: one doubly indirect block points to the reserved blocks of group 0,
// and each of those holds the numbers of its counterparts in the groups with a
// backup (behaviour of ext2fs_create_resize_inode; the kernel checks it in
// verify_reserved_gdb of fs/ext4/resize.c).

const (
	pointersPerBlock = blockSize / 4
	directPointers   = 12
	doublyIndirect   = 13 // the index in i_block
)

// resizeInodeSize is the same for every filesystem: what the pointers of a
// file without a triply indirect block could reach.
const resizeInodeSize = (directPointers + pointersPerBlock + pointersPerBlock*pointersPerBlock) * blockSize

// resizeInode returns the inode; its doubly indirect block stands at dind.
func (p *plan) resizeInode() inode {
	backups := uint64(len(slices.Collect(superblockGroups(p.geo.groups))))
	n := inode{
		mode:   0o100600,
		links:  1,
		time:   p.opts.Time,
		size:   resizeInodeSize,
		blocks: 1 + uint64(p.geo.reservedGDT)*backups,
	}
	binary.LittleEndian.PutUint32(n.block[4*doublyIndirect:], p.resizeBlock)
	return n
}

// resizePointers returns the doubly indirect block. A reserved block has the
// slot of the descriptor block it may become, modulo the size of the block.
func (p *plan) resizePointers() blocks {
	b := make(blocks, blockSize)
	first := 1 + p.geo.descBlocks
	for i := range p.geo.reservedGDT {
		slot := (p.geo.descBlocks + i) % pointersPerBlock
		binary.LittleEndian.PutUint32(b[4*slot:], first+i)
	}
	return b
}

// emitReservedGDT appends the reserved blocks of group 0.
func (p *plan) emitReservedGDT(b *extent.Builder) {
	first := 1 + p.geo.descBlocks
	backups := slices.Collect(superblockGroups(p.geo.groups))[1:]
	var pointers []byte
	for i := range p.geo.reservedGDT {
		pointers = pointers[:0]
		for _, group := range backups {
			pointers = binary.LittleEndian.AppendUint32(pointers, group*blocksPerGroup+first+i)
		}
		end := b.Size() + blockSize
		b.Inline(pointers)
		b.ZeroTo(end)
	}
}
