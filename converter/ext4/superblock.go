package ext4

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/cloudlets/cloudlets/extent"
)

// emitSuperblock appends a copy of the superblock and the descriptors, and the
// blocks reserved for more descriptors. In group 0 it stands behind the space
// left to boot code, and the reserved blocks are part of the resize inode.
func (p *plan) emitSuperblock(b *extent.Builder, r region) error {
	start := b.Size()
	sb, err := p.encodeSuperblock(r.group)
	if err != nil {
		return err
	}
	if r.group == 0 {
		b.Zero(superblockOffset)
	}
	b.Inline(sb)
	b.ZeroTo(start + blockSize)
	b.Inline(p.descriptors)
	b.ZeroTo(start + blockSize*int64(1+p.geo.descBlocks))
	if r.group == 0 {
		p.emitReservedGDT(b)
	}
	b.ZeroTo(start + blockSize*int64(r.count))
	return nil
}

func (p *plan) encodeSuperblock(group uint32) ([]byte, error) {
	sb := p.superblock()
	sb.BlockGroup = uint16(group)
	var buf bytes.Buffer
	buf.Grow(superblockSize)
	if err := binary.Write(&buf, binary.LittleEndian, &sb); err != nil {
		return nil, fmt.Errorf("encode the superblock: %w", err)
	}
	p.sums.superblock(buf.Bytes())
	return buf.Bytes(), nil
}

// superblock returns the superblock without what differs between its copies.
//
// The time of the last write stays zero: e2fsck compares it with its clock, and
// a guest without a battery-backed clock would take a plausible one for a time
// in the future.
func (p *plan) superblock() superblock {
	o, g := p.opts, p.geo
	reserved := g.blocks * uint64(o.ReservedPercent) / 100
	made := max(o.Time.Sec, 0)
	sb := superblock{
		InodesCount:       uint32(g.inodes()),
		BlocksCountLo:     uint32(g.blocks),
		ReservedBlocksLo:  uint32(reserved),
		FreeBlocksLo:      uint32(p.freeBlocks),
		FreeInodes:        uint32(g.inodes() - p.usedInodes()),
		LogBlockSize:      logBlockSize,
		LogClusterSize:    logBlockSize,
		BlocksPerGroup:    blocksPerGroup,
		ClustersPerGroup:  blocksPerGroup,
		InodesPerGroup:    g.inodesPerGroup,
		MaxMountCount:     noMaxMountCount,
		Magic:             superblockMagic,
		State:             stateClean,
		Errors:            errorsContinue,
		LastCheck:         uint32(made),
		LastCheckHi:       uint8(made >> 32),
		Revision:          revisionDynamic,
		FirstInode:        firstIno,
		InodeSize:         inodeSize,
		UUID:              o.UUID,
		ReservedGDT:       uint16(g.reservedGDT),
		HashSeed:          o.HashSeed,
		HashVersion:       hashHalfMD4,
		MountOptions:      mountUserXattrACL,
		MakeTime:          uint32(made),
		MakeTimeHi:        uint8(made >> 32),
		MinExtraInodeSize: extraInodeSize,
		NewExtraInodeSize: extraInodeSize,
		Flags:             flagSignedHash,
		LogGroupsPerFlex:  logGroupsPerFlex,
		OverheadBlocks:    uint32(g.fixedBlocks() + uint64(g.journalBlocks)),
	}
	copy(sb.Label[:], o.Label)
	p.setFeatures(&sb)
	return sb
}

func (p *plan) setFeatures(sb *superblock) {
	sb.Compat = compatExtAttr | compatResizeInode | compatDirIndex
	sb.Incompat = incompatFiletype | incompatExtents | incompatFlexBG
	sb.ROCompat = roCompatSparseSuper | roCompatLargeFile | roCompatHugeFile |
		roCompatDirNlink | roCompatExtraIsize
	if p.opts.has(SixtyFourBit) {
		sb.Incompat |= incompat64Bit
		sb.DescSize = descSize64
	}
	if p.opts.has(MetadataChecksum) {
		sb.ROCompat |= roCompatMetadataCsum
		sb.ChecksumType = checksumCRC32C
	}
	if p.journal == nil {
		return
	}
	sb.Compat |= compatHasJournal
	sb.JournalInode = journalIno
	sb.JournalBackupType = journalBackupBlock
	sb.JournalBackup = p.journalBackup()
}
