package ext4

import (
	"encoding/binary"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
)

// The checks of a filesystem that is read. They say nothing where it has no
// checksums. What they are given is not changed.

// sumError says that a checksum is wrong.
func sumError(what string, got, want uint32) error {
	return fmt.Errorf("%w: %s has the checksum %08x, but says %08x", container.ErrFormat, what, got, want)
}

// descriptor returns the checksum of a group descriptor, in which its own field
// counts as zero.
func (c checksummer) descriptor(desc []byte, group uint32) uint16 {
	sum := c.update(c.update32(c.seed, group), desc[:descSumOffset])
	sum = c.update(sum, []byte{0, 0})
	return uint16(c.update(sum, desc[descSumOffset+2:]))
}

// without returns the CRC of p in which the four bytes at off count as zeros:
// those of the checksum itself.
func (c checksummer) without(seed uint32, p []byte, off int) uint32 {
	sum := c.update(seed, p[:off])
	sum = c.update(sum, make([]byte, 4))
	return c.update(sum, p[off+4:])
}

// checkInode checks an inode, whose upper half of the checksum is an extra field
// that it may lack.
func (c checksummer) checkInode(n *foreignInode) error {
	if c.off {
		return nil
	}
	le := binary.LittleEndian
	zeros := []byte{0, 0}
	want := uint32(le.Uint16(n.raw[inodeSumLo:]))
	sum := c.update(n.seed, n.raw[:inodeSumLo])
	sum = c.update(sum, zeros)
	sum = c.update(sum, n.raw[inodeSumLo+2:inodeOldSize])
	if n.extra() < inodeSumHi+2-inodeOldSize {
		sum = c.update(sum, n.raw[inodeOldSize:]) & 0xFFFF
	} else {
		want |= uint32(le.Uint16(n.raw[inodeSumHi:])) << 16
		sum = c.update(sum, n.raw[inodeOldSize:inodeSumHi])
		sum = c.update(sum, zeros)
		sum = c.update(sum, n.raw[inodeSumHi+2:])
	}
	if sum != want {
		return sumError("it", sum, want)
	}
	return nil
}

// checkExtents checks a block of an extent tree, whose checksum stands behind the
// room for entries that it says it has.
func (c checksummer) checkExtents(b []byte, seed uint32) error {
	if c.off {
		return nil
	}
	le := binary.LittleEndian
	end := (1 + int(le.Uint16(b[4:]))) * extentEntrySize
	if end > len(b)-4 {
		return fmt.Errorf("%w: a node of the extent tree says it has room for %d entries in %d bytes", container.ErrFormat, le.Uint16(b[4:]), len(b))
	}
	if got, want := c.update(seed, b[:end]), le.Uint32(b[end:]); got != want {
		return sumError("a node of the extent tree", got, want)
	}
	return nil
}

// checkDirectory checks a block of a directory: a list ends in a false entry with
// the checksum; a node of a hash tree, which to others is one unused entry, has it
// behind the room for its own entries.
func (c checksummer) checkDirectory(b []byte, n *foreignInode, first bool) error {
	if c.off {
		return nil
	}
	le := binary.LittleEndian
	if n.flags&flagIndexed != 0 {
		switch {
		case first:
			return c.checkIndex(b, n.seed, dxRootOffset)
		case le.Uint32(b) == 0 && entryLength(le.Uint16(b[4:]), len(b)) == len(b):
			return c.checkIndex(b, n.seed, dxNodeOffset)
		}
	}
	end := len(b) - dirTailSize
	if le.Uint16(b[end+4:]) != dirTailSize || b[end+7] != dirTailType {
		return fmt.Errorf("%w: it does not end in a checksum", container.ErrFormat)
	}
	if got, want := c.update(n.seed, b[:end]), le.Uint32(b[end+8:]); got != want {
		return sumError("a list of entries", got, want)
	}
	return nil
}

// checkIndex checks a node of a hash tree whose entries begin at offset.
func (c checksummer) checkIndex(b []byte, seed uint32, offset int) error {
	le := binary.LittleEndian
	limit, count := int(le.Uint16(b[offset:])), int(le.Uint16(b[offset+2:]))
	tail := offset + limit*dxEntrySize
	if count > limit || tail > len(b)-dxTailSize {
		return fmt.Errorf("%w: a node of the hash tree has %d of %d entries in %d bytes", container.ErrFormat, count, limit, len(b))
	}
	sum := c.update(seed, b[:offset+count*dxEntrySize])
	sum = c.update(sum, b[tail:tail+4])
	sum = c.update(sum, make([]byte, 4))
	if want := le.Uint32(b[tail+4:]); sum != want {
		return sumError("a node of the hash tree", sum, want)
	}
	return nil
}

// checkXattrs checks a block of attributes.
func (c checksummer) checkXattrs(b []byte, number uint64) error {
	if c.off {
		return nil
	}
	le := binary.LittleEndian
	sum := c.update(c.seed, le.AppendUint64(nil, number))
	sum = c.without(sum, b, xattrSumOffset)
	if want := le.Uint32(b[xattrSumOffset:]); sum != want {
		return sumError("it", sum, want)
	}
	return nil
}
