package ext4

import (
	"encoding/binary"

	"github.com/cloudlets/cloudlets/converter/container"
)

// The journal is a file of its own (inode 8) in the format of JBD2 (ext4 doc,
// "Journal (jbd2)"), whose integers are big-endian. An empty one is a
// superblock and zeros.

const (
	minJournalBlocks = 1024
	maxJournalBlocks = 10240000

	journalMagic        = 0xC03B3998
	journalSuperblockV2 = 4
	journalUUIDOffset   = 0x30
	journalUsersOffset  = 0x40
)

// journalBlocks returns the length of the journal: what was asked for, in
// bytes, or if that is 0 by the size of the filesystem, as mke2fs does
// (behaviour of ext2fs_default_journal_size).
func journalBlocks(blocks uint64, size int64) uint32 {
	if size != 0 {
		return uint32(container.DivideUp(uint64(size), blockSize))
	}
	for _, tier := range []struct {
		below   uint64 // blocks of the filesystem
		journal uint32
	}{
		{2048, 0},
		{32 << 10, minJournalBlocks},
		{256 << 10, 4 << 10},
		{512 << 10, 8 << 10},
		{4 << 20, 16 << 10},
		{8 << 20, 32 << 10},
		{16 << 20, 64 << 10},
		{32 << 20, 128 << 10},
	} {
		if blocks < tier.below {
			return tier.journal
		}
	}
	return 256 << 10
}

// journalSuperblock returns the first block of an empty journal.
func journalSuperblock(length uint32, uuid [16]byte) blocks {
	b := make(blocks, blockSize)
	be := binary.BigEndian
	be.PutUint32(b[0x00:], journalMagic)
	be.PutUint32(b[0x04:], journalSuperblockV2)
	be.PutUint32(b[0x0C:], blockSize)
	be.PutUint32(b[0x10:], length)
	be.PutUint32(b[0x14:], 1) // the first block of the log
	be.PutUint32(b[0x18:], 1) // the first commit's number
	copy(b[journalUUIDOffset:], uuid[:])
	be.PutUint32(b[journalUsersOffset:], 1)
	return b
}

// journalBackup returns the copy of the journal's i_block and size that the
// superblock keeps, for e2fsck to find it if inode 8 is damaged.
func (p *plan) journalBackup() (backup [17]uint32) {
	n := p.encodedFields(p.journal)
	for i := range inodeBlockSize / 4 {
		backup[i] = binary.LittleEndian.Uint32(n.block[4*i:])
	}
	backup[15], backup[16] = uint32(n.size>>32), uint32(n.size)
	return backup
}
