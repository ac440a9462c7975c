package ext4

import (
	"encoding/binary"
	"hash/crc32"
)

// checksummer computes the checksums of the metadata_csum feature (ext4 doc,
// "Checksums"): CRC-32C, seeded, without the final inversion. Switched off, it
// leaves every checksum field zero.
type checksummer struct {
	off   bool
	table *crc32.Table
	seed  uint32 // the CRC of the filesystem's UUID
}

func newChecksummer(uuid [16]byte, off bool) checksummer {
	c := checksummer{off: off, table: crc32.MakeTable(crc32.Castagnoli)}
	c.seed = c.update(^uint32(0), uuid[:])
	return c
}

// update continues a CRC over p. The standard library inverts before and after;
// ext4 does neither.
func (c checksummer) update(crc uint32, p []byte) uint32 {
	return ^crc32.Update(^crc, c.table, p)
}

func (c checksummer) update32(crc, v uint32) uint32 {
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], v)
	return c.update(crc, b[:])
}

// inodeSeed is what the checksums of an inode and of all blocks that belong to
// it start from.
func (c checksummer) inodeSeed(ino, generation uint32) uint32 {
	return c.update32(c.update32(c.seed, ino), generation)
}

// superblock sets the checksum of an encoded superblock, which has no seed so
// that it can be checked before the UUID is known.
func (c checksummer) superblock(b []byte) {
	if c.off {
		return
	}
	binary.LittleEndian.PutUint32(b[superblockSumAt:], c.update(^uint32(0), b[:superblockSumAt]))
}

// group sets the checksum of the encoded descriptor of a group: the low half of
// the CRC of the group's number and the descriptor.
func (c checksummer) group(desc []byte, group uint32) {
	if c.off {
		return
	}
	sum := c.update(c.update32(c.seed, group), desc)
	binary.LittleEndian.PutUint16(desc[descSumOffset:], uint16(sum))
}

// bitmap returns the checksum of the part of a bitmap that counts.
func (c checksummer) bitmap(p []byte) uint32 {
	if c.off {
		return 0
	}
	return c.update(c.seed, p)
}

// inode sets the checksum of an encoded inode, kept in two halves.
func (c checksummer) inode(b []byte, ino uint32) {
	if c.off {
		return
	}
	sum := c.update(c.inodeSeed(ino, newGeneration), b)
	binary.LittleEndian.PutUint16(b[inodeSumLo:], uint16(sum))
	binary.LittleEndian.PutUint16(b[inodeSumHi:], uint16(sum>>16))
}

// tail sets the checksum that ends a directory leaf or a block of an extent
// tree: the last 4 bytes of the block cover its first n.
func (c checksummer) tail(block []byte, ino uint32, n int) {
	if c.off {
		return
	}
	sum := c.update(c.inodeSeed(ino, newGeneration), block[:n])
	binary.LittleEndian.PutUint32(block[len(block)-4:], sum)
}

// index sets the checksum that ends a block of a directory's hash tree. It
// covers the first n bytes — up to the last entry in use — and the 8 bytes of
// the tail with the checksum zero.
func (c checksummer) index(block []byte, ino uint32, n int) {
	if c.off {
		return
	}
	tail := block[len(block)-8:]
	sum := c.update(c.inodeSeed(ino, newGeneration), block[:n])
	sum = c.update(sum, tail)
	binary.LittleEndian.PutUint32(tail[4:], sum)
}

// xattrs sets the checksum of an attribute block, which starts with the
// block's own number.
func (c checksummer) xattrs(block []byte, at uint32) {
	if c.off {
		return
	}
	sum := c.update32(c.update32(c.seed, at), 0) // a 64-bit number
	sum = c.update(sum, block)
	binary.LittleEndian.PutUint32(block[xattrSumOffset:], sum)
}
