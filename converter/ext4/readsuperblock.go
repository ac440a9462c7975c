package ext4

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"

	"github.com/cloudlets/cloudlets/converter/container"
)

// foreign is the superblock of a filesystem that somebody made, and what follows
// from it.
type foreign struct {
	superblock
	sums       checksummer
	blockSize  int64
	blocks     uint64
	groups     uint64
	inodeSize  int64
	descSize   int64
	firstGroup uint64 // the block after the first superblock, where descriptors begin
}

// readSuperblock reads the primary superblock.
func (r *reader) readSuperblock() error {
	raw, err := r.file.Bytes("superblock", superblockOffset, superblockSize)
	if err != nil {
		return err
	}
	return r.decodeSuperblock(raw)
}

// decodeSuperblock decodes a superblock and checks all that is computed with
// later.
func (r *reader) decodeSuperblock(raw []byte) error {
	r.foreign = foreign{}
	if err := binary.Read(bytes.NewReader(raw), binary.LittleEndian, &r.superblock); err != nil {
		return fmt.Errorf("superblock: %w", err)
	}
	if r.Magic != superblockMagic {
		return fmt.Errorf("%w: the superblock has the magic number %#04x, want %#04x", container.ErrFormat, r.Magic, superblockMagic)
	}
	if err := r.checkFeatures(); err != nil {
		return err
	}
	r.sums = newChecksummer(r.UUID, r.ROCompat&roCompatMetadataCsum == 0)
	if !r.sums.off {
		if err := r.checkSuperblockSum(raw); err != nil {
			return err
		}
	}
	if err := r.checkSizes(); err != nil {
		return fmt.Errorf("superblock: %w", err)
	}
	return nil
}

// checkFeatures refuses what is not understood. Filesystems of the original
// revision have no features, and inodes of one size.
func (r *reader) checkFeatures() error {
	if r.Revision > revisionDynamic {
		return fmt.Errorf("%w: revision %d, want 0 or %d", container.ErrUnsupported, r.Revision, revisionDynamic)
	}
	if r.Revision < revisionDynamic {
		r.Compat, r.Incompat, r.ROCompat = 0, 0, 0
		r.InodeSize = inodeOldSize
		return nil
	}
	unknown := r.Incompat &^ incompatRead
	if unknown == 0 {
		return nil
	}
	var names []string
	for _, f := range featureNames {
		if unknown&f.bit != 0 {
			names = append(names, f.name)
			unknown &^= f.bit
		}
	}
	if unknown != 0 {
		names = append(names, fmt.Sprintf("the unknown bits %#x", unknown))
	}
	return fmt.Errorf("%w: it needs %s", container.ErrUnsupported, strings.Join(names, " and "))
}

func (r *reader) checkSuperblockSum(raw []byte) error {
	if r.ChecksumType != checksumCRC32C {
		return fmt.Errorf("%w: checksums of type %d, want %d, CRC-32C", container.ErrUnsupported, r.ChecksumType, checksumCRC32C)
	}
	if r.Incompat&incompatCsumSeed != 0 {
		r.sums.seed = r.ChecksumSeed
	}
	if got := r.sums.update(^uint32(0), raw[:superblockSumAt]); got != r.Checksum {
		return fmt.Errorf("%w: the superblock has the checksum %08x, but says %08x", container.ErrFormat, got, r.Checksum)
	}
	return nil
}

func (r *reader) checkSizes() error {
	if r.LogBlockSize > maxLogBlockSize-minLogBlockSize {
		return fmt.Errorf("%w: blocks of 2^%d bytes, want at most 2^%d", container.ErrFormat, uint64(r.LogBlockSize)+minLogBlockSize, maxLogBlockSize)
	}
	r.blockSize = 1 << (minLogBlockSize + r.LogBlockSize)
	if r.blocks = uint64(r.BlocksCountLo); r.Incompat&incompat64Bit != 0 {
		r.blocks |= uint64(r.BlocksCountHi) << 32
	}
	if held := uint64(r.file.Size / r.blockSize); r.blocks > held {
		return fmt.Errorf("%w: it says that it has %d blocks of %d bytes, but only %d are there", container.ErrFormat, r.blocks, r.blockSize, held)
	}
	if r.blockSize == 1<<minLogBlockSize {
		r.firstGroup = 1
	}
	if uint64(r.FirstDataBlock) > r.firstGroup || r.blocks <= r.firstGroup {
		return fmt.Errorf("%w: the first of its %d blocks is %d", container.ErrFormat, r.blocks, r.FirstDataBlock)
	}
	r.firstGroup++
	return r.checkGroups()
}

func (r *reader) checkGroups() error {
	most := 8 * uint64(r.blockSize) // bits of a bitmap of one block
	if r.ROCompat&roCompatBigalloc != 0 {
		if r.LogClusterSize < r.LogBlockSize || r.LogClusterSize-r.LogBlockSize > maxLogBlockSize {
			return fmt.Errorf("%w: clusters of 2^%d bytes", container.ErrFormat, uint64(r.LogClusterSize)+minLogBlockSize)
		}
		most <<= r.LogClusterSize - r.LogBlockSize
	}
	if perGroup := uint64(r.BlocksPerGroup); perGroup < 8 || perGroup > most {
		return fmt.Errorf("%w: %d blocks a group, want 8 to %d", container.ErrFormat, perGroup, most)
	}
	r.groups = container.DivideUp(r.blocks-uint64(r.FirstDataBlock), uint64(r.BlocksPerGroup))
	if r.InodesPerGroup == 0 || uint64(r.InodesPerGroup) > 8*uint64(r.blockSize) {
		return fmt.Errorf("%w: %d inodes a group, want 1 to %d", container.ErrFormat, r.InodesPerGroup, 8*r.blockSize)
	}
	if uint64(r.InodesCount) != r.groups*uint64(r.InodesPerGroup) {
		return fmt.Errorf("%w: %d inodes in %d groups of %d", container.ErrFormat, r.InodesCount, r.groups, r.InodesPerGroup)
	}
	r.inodeSize = int64(r.InodeSize)
	if !isPowerOf2(r.inodeSize) || r.inodeSize < inodeOldSize || r.inodeSize > r.blockSize {
		return fmt.Errorf("%w: inodes of %d bytes, want a power of two from %d to %d", container.ErrFormat, r.inodeSize, inodeOldSize, r.blockSize)
	}
	r.descSize = descSize32
	if r.Incompat&incompat64Bit != 0 {
		r.descSize = int64(r.DescSize)
	}
	if !isPowerOf2(r.descSize) || r.descSize < descSize32 || r.descSize > r.blockSize {
		return fmt.Errorf("%w: group descriptors of %d bytes, want a power of two from %d to %d", container.ErrFormat, r.descSize, descSize32, r.blockSize)
	}
	return nil
}

func isPowerOf2(n int64) bool { return n > 0 && bits.OnesCount64(uint64(n)) == 1 }

// inodeTable returns the block in which the inode table of a group begins.
func (r *reader) inodeTable(group uint32) (uint64, error) {
	if table, ok := r.tables[group]; ok {
		return table, nil
	}
	perBlock := uint64(r.blockSize / r.descSize)
	b, err := r.block(r.descriptorBlock(uint64(group)/perBlock, perBlock))
	if err != nil {
		return 0, err
	}
	desc := b[uint64(group)%perBlock*uint64(r.descSize):][:r.descSize]
	le := binary.LittleEndian
	if want := le.Uint16(desc[descSumOffset:]); !r.sums.off {
		if got := r.sums.descriptor(desc, group); got != want {
			return 0, fmt.Errorf("%w: it has the checksum %04x, but says %04x", container.ErrFormat, got, want)
		}
	}
	table := uint64(le.Uint32(desc[descInodeTable:]))
	if r.descSize >= descSize64 {
		table |= uint64(le.Uint32(desc[descInodeTableHi:])) << 32
	}
	if err := r.inside(table, container.DivideUp(uint64(r.InodesPerGroup)*uint64(r.inodeSize), uint64(r.blockSize))); err != nil {
		return 0, fmt.Errorf("inode table: %w", err)
	}
	if r.tables == nil {
		r.tables = make(map[uint32]uint64)
	}
	r.tables[group] = table
	return table, nil
}

// descriptorBlock returns where a block of group descriptors stands: all of them
// behind the first superblock, or with meta_bg each in the first of the groups it
// describes (ext4 doc, "Meta Block Groups").
func (r *reader) descriptorBlock(index, perBlock uint64) uint64 {
	if r.Incompat&incompatMetaBG == 0 || index < uint64(r.FirstMetaGroup) {
		return r.firstGroup + index
	}
	group := index * perBlock
	first := uint64(r.FirstDataBlock) + group*uint64(r.BlocksPerGroup)
	if group == 0 {
		return r.firstGroup
	}
	if r.hasCopy(group) {
		return first + 1
	}
	return first
}

// hasCopy reports whether a group begins with a copy of the superblock.
func (r *reader) hasCopy(group uint64) bool {
	switch {
	case r.Compat&compatSparseSuper2 != 0:
		return group == uint64(r.BackupGroups[0]) || group == uint64(r.BackupGroups[1])
	case r.ROCompat&roCompatSparseSuper != 0:
		return hasSuperblock(uint32(group))
	}
	return true
}
