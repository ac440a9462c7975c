package ext4

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math/bits"
	"slices"

	"github.com/cloudlets/cloudlets/extent"
)

// hasSuperblock reports whether a group starts with a copy of the superblock:
// groups 0 and 1 and the powers of 3, 5 and 7 do (sparse_super).
func hasSuperblock(group uint32) bool {
	if group <= 1 {
		return true
	}
	for _, base := range []uint32{3, 5, 7} {
		n := group
		for n%base == 0 {
			n /= base
		}
		if n == 1 {
			return true
		}
	}
	return false
}

// superblockGroups returns, of the first n groups, those with a superblock.
func superblockGroups(n uint32) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for group := range n {
			if hasSuperblock(group) && !yield(group) {
				return
			}
		}
	}
}

// regionKind says what a region holds.
type regionKind uint8

const (
	superblockRegion regionKind = iota // with descriptors and reserved blocks
	blockBitmapRegion
	inodeBitmapRegion
	inodeTableRegion
)

// region is a run of blocks whose place follows from the geometry alone.
type region struct {
	kind         regionKind
	group        uint32
	start, count uint64 // in blocks
}

func (r region) end() uint64 { return r.start + r.count }

// placeRegions returns the regions of all groups, sorted by where they stand.
// The bitmaps and inode tables of a flex group are gathered at its front.
func placeRegions(g geometry) ([]region, error) {
	var regions []region
	for group := range superblockGroups(g.groups) {
		start := uint64(group) * blocksPerGroup
		regions = append(regions, region{superblockRegion, group, start, g.superblockBlocks()})
	}
	supers := regions
	for first := uint32(0); first < g.groups; first += groupsPerFlex {
		next := uint64(first) * blocksPerGroup
		end := min(first+groupsPerFlex, g.groups)
		for kind := blockBitmapRegion; kind <= inodeTableRegion; kind++ {
			count := uint64(1)
			if kind == inodeTableRegion {
				count = g.inodeTableBlocks()
			}
			for group := first; group < end; group++ {
				next = skipRegions(supers, next, count)
				regions = append(regions, region{kind, group, next, count})
				next += count
			}
		}
		if next > g.blocks {
			return nil, fmt.Errorf("the metadata of the groups from %d on ends at block %d, past the end at %d", first, next, g.blocks)
		}
	}
	slices.SortFunc(regions, func(a, b region) int { return int(int64(a.start) - int64(b.start)) })
	return regions, nil
}

// skipRegions returns the first block from next on where count blocks touch
// none of the sorted regions.
func skipRegions(regions []region, next, count uint64) uint64 {
	i, _ := slices.BinarySearchFunc(regions, next, func(r region, at uint64) int {
		if r.end() <= at {
			return -1
		}
		return 1
	})
	for ; i < len(regions) && regions[i].start < next+count; i++ {
		next = regions[i].end()
	}
	return next
}

// usedInodesIn returns how many inodes of a group are in use. Inodes are
// numbered from 1 without gaps.
func (p *plan) usedInodesIn(group uint32) uint32 {
	perGroup := uint64(p.geo.inodesPerGroup)
	before := uint64(group) * perGroup
	used := p.usedInodes()
	if used <= before {
		return 0
	}
	return uint32(min(used-before, perGroup))
}

// blockBitmap fills bitmap, one block, with the state of a group's blocks: ones
// for those in use and those past the end. Blocks below next are in use, and so
// are the regions.
func (p *plan) blockBitmap(bitmap []byte, group uint32) {
	clear(bitmap)
	first := uint64(group) * blocksPerGroup
	set := func(start, end uint64) {
		start, end = max(start, first), min(end, first+blocksPerGroup)
		if start < end {
			setBits(bitmap, int(start-first), int(end-first))
		}
	}
	set(0, p.blocks.next)
	i, _ := slices.BinarySearchFunc(p.regions, first, func(r region, at uint64) int {
		if r.end() <= at {
			return -1
		}
		return 1
	})
	for ; i < len(p.regions) && p.regions[i].start < first+blocksPerGroup; i++ {
		set(p.regions[i].start, p.regions[i].end())
	}
	set(p.geo.blocks, p.geo.blocks+blocksPerGroup)
}

// inodeBitmap fills bitmap, one block, with the state of a group's inodes. The
// bits past the last inode are ones, except where the bitmap counts as not
// initialized.
func (p *plan) inodeBitmap(bitmap []byte, group uint32) {
	clear(bitmap)
	used := p.usedInodesIn(group)
	if used == 0 && !p.sums.off {
		return
	}
	setBits(bitmap, 0, int(used))
	setBits(bitmap, int(p.geo.inodesPerGroup), blocksPerGroup)
}

func setBits(bitmap []byte, start, end int) {
	for ; start < end && start%8 != 0; start++ {
		bitmap[start/8] |= 1 << (start % 8)
	}
	for ; start+8 <= end; start += 8 {
		bitmap[start/8] = 0xFF
	}
	for ; start < end; start++ {
		bitmap[start/8] |= 1 << (start % 8)
	}
}

func countZeros(bitmap []byte) uint32 {
	n := 0
	for i := 0; i < len(bitmap); i += 8 {
		n += 64 - bits.OnesCount64(binary.LittleEndian.Uint64(bitmap[i:]))
	}
	return uint32(n)
}

// buildDescriptors encodes the descriptors of all groups into whole blocks and
// counts the free blocks.
func (p *plan) buildDescriptors() error {
	descs := make([]groupDesc, p.geo.groups)
	for _, r := range p.regions {
		switch d := &descs[r.group]; r.kind {
		case blockBitmapRegion:
			d.BlockBitmapLo = uint32(r.start)
		case inodeBitmapRegion:
			d.InodeBitmapLo = uint32(r.start)
		case inodeTableRegion:
			d.InodeTableLo = uint32(r.start)
		}
	}
	p.descriptors = make([]byte, 0, p.geo.descBlocks*blockSize)
	bitmap := make([]byte, blockSize)
	for group := range descs {
		p.fillDescriptor(&descs[group], uint32(group), bitmap)
		at := len(p.descriptors)
		var err error
		p.descriptors, err = binary.Append(p.descriptors, binary.LittleEndian, &descs[group])
		if err != nil {
			return fmt.Errorf("encode the descriptor of group %d: %w", group, err)
		}
		p.descriptors = p.descriptors[:at+int(p.geo.descSize)]
		p.sums.group(p.descriptors[at:], uint32(group))
	}
	return nil
}

// fillDescriptor sets what the bitmaps say; bitmap is a block to work in.
func (p *plan) fillDescriptor(d *groupDesc, group uint32, bitmap []byte) {
	p.blockBitmap(bitmap, group)
	free := countZeros(bitmap)
	p.freeBlocks += uint64(free)
	sum := p.sums.bitmap(bitmap)
	d.FreeBlocksLo = uint16(free)
	d.BlockBitmapSumLo, d.BlockBitmapSumHi = uint16(sum), uint16(sum>>16)

	used := p.usedInodesIn(group)
	d.FreeInodesLo = uint16(p.geo.inodesPerGroup - used)
	d.UsedDirsLo = uint16(p.dirsPerGroup[group])
	if p.sums.off {
		return
	}
	// Without checksums the descriptor has none to vouch for these fields, and
	// they stay zero.
	d.UnusedInodesLo = d.FreeInodesLo
	d.Flags = groupInodeZeroed
	if used == 0 {
		d.Flags |= groupInodeUninit
		return
	}
	p.inodeBitmap(bitmap, group)
	sum = p.sums.bitmap(bitmap[:p.geo.inodesPerGroup/8])
	d.InodeBitmapSumLo, d.InodeBitmapSumHi = uint16(sum), uint16(sum>>16)
}

// emitRegion appends the content of a region.
func (p *plan) emitRegion(b *extent.Builder, r region) error {
	var block [blockSize]byte
	switch r.kind {
	case superblockRegion:
		return p.emitSuperblock(b, r)
	case blockBitmapRegion:
		p.blockBitmap(block[:], r.group)
		inline(b, block[:])
	case inodeBitmapRegion:
		p.inodeBitmap(block[:], r.group)
		inline(b, block[:])
	case inodeTableRegion:
		return p.emitInodeTable(b, r)
	}
	return nil
}
