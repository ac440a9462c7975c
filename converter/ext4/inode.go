package ext4

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// inode is the content of an on-disk inode.
type inode struct {
	mode       uint16
	uid, gid   uint32
	time       image.Time
	size       int64
	links      uint32
	blocks     uint64 // all that belong to the file
	flags      uint32
	block      [inodeBlockSize]byte
	xattrBlock uint32
	xattrs     []byte // what stands behind the fields
}

// encode fills b, inodeSize zero bytes. The generation, the version and the
// project of every inode are 0.
func (n *inode) encode(b []byte) {
	le := binary.LittleEndian
	sectors := n.blocks * (blockSize / sectorSize)
	le.PutUint16(b[inodeMode:], n.mode)
	le.PutUint16(b[inodeUIDLo:], uint16(n.uid))
	le.PutUint16(b[inodeUIDHi:], uint16(n.uid>>16))
	le.PutUint16(b[inodeGIDLo:], uint16(n.gid))
	le.PutUint16(b[inodeGIDHi:], uint16(n.gid>>16))
	le.PutUint32(b[inodeSizeLo:], uint32(n.size))
	le.PutUint32(b[inodeSizeHi:], uint32(n.size>>32))
	le.PutUint16(b[inodeLinks:], uint16(n.links))
	le.PutUint32(b[inodeBlocksLo:], uint32(sectors))
	le.PutUint16(b[inodeBlocksHi:], uint16(sectors>>32))
	le.PutUint32(b[inodeFlags:], n.flags)
	copy(b[inodeBlock:], n.block[:])
	le.PutUint32(b[inodeACLLo:], n.xattrBlock)
	le.PutUint16(b[inodeExtraSize:], extraInodeSize)
	low, more := encodeTime(n.time)
	for _, at := range []struct{ low, more int }{
		{inodeAccess, inodeAccessMore},
		{inodeChange, inodeChangeMore},
		{inodeModify, inodeModifyMore},
		{inodeCreate, inodeCreateMore},
	} {
		le.PutUint32(b[at.low:], low)
		le.PutUint32(b[at.more:], more)
	}
	copy(b[inodeXattrs:], n.xattrs)
}

// The seconds an inode can keep: 34 bits, shifted so that a signed 32-bit value
// keeps its meaning (ext4 doc, "Inode Timestamps"). The last quarter of them,
// from 2310-04-04 on, is left out: e2fsck takes it for times before 1970 that an
// old kernel wrote, and changes them.
const (
	minSeconds = math.MinInt32
	maxSeconds = 3<<32 + math.MinInt32 - 1
)

// encodeTime returns the two fields of a timestamp. Like Linux, it takes the
// nearest time there is for one before 1901-12-13 or from 2310-04-04 on.
func encodeTime(t image.Time) (low, more uint32) {
	switch {
	case t.Sec < minSeconds:
		t = image.Time{Sec: minSeconds}
	case t.Sec > maxSeconds:
		t = image.Time{Sec: maxSeconds}
	}
	epoch := uint32((t.Sec-int64(int32(t.Sec)))>>32) & 3
	return uint32(t.Sec), t.Nsec<<2 | epoch
}

// encodedFields returns the inode of a node that was placed.
func (p *plan) encodedFields(n *node) inode {
	i := inode{
		mode:       n.mode,
		uid:        n.uid,
		gid:        n.gid,
		time:       n.time,
		size:       n.size,
		links:      n.links,
		flags:      n.flags,
		blocks:     uint64(len(n.treeBlocks)),
		xattrBlock: n.xattrBlock,
		xattrs:     n.xattrs.inline,
	}
	for _, piece := range p.pieces[n.firstPiece:n.endPiece] {
		i.blocks += uint64(piece.count)
	}
	if n.xattrBlock != 0 {
		i.blocks++
	}
	switch {
	case n.root != nil:
		i.block = *n.root
	case n.flags&flagExtents != 0:
		putExtents(i.block[:], p.diskExtents(n), 0)
	}
	return i
}

// inode returns the inode with a number in use. ok is false for those of the
// reserved ones that hold nothing.
func (p *plan) inode(ino uint32) (i inode, ok bool) {
	switch {
	case ino == rootIno:
		return p.encodedFields(p.root), true
	case ino == resizeIno:
		return p.resizeInode(), true
	case ino == journalIno && p.journal != nil:
		return p.encodedFields(p.journal), true
	case ino >= firstIno:
		return p.encodedFields(p.files[ino-firstIno]), true
	}
	return inode{}, false
}

// emitInodeTable appends the inode table of a group.
func (p *plan) emitInodeTable(b *extent.Builder, r region) error {
	end := b.Size() + int64(r.count)*blockSize
	first := r.group*p.geo.inodesPerGroup + 1
	var buf [inodeSize]byte
	for ino := first; ino < first+p.usedInodesIn(r.group); ino++ {
		i, ok := p.inode(ino)
		if !ok {
			b.Zero(inodeSize)
			continue
		}
		clear(buf[:])
		i.encode(buf[:])
		p.sums.inode(buf[:], ino)
		b.Inline(buf[:])
	}
	b.ZeroTo(end)
	return nil
}

// deviceBlock returns the i_block of a device: its numbers in the old 16-bit
// form where they fit, otherwise in the new one (Linux, include/linux/kdev_t.h).
func deviceBlock(major, minor uint32) (*[inodeBlockSize]byte, error) {
	if major > maxMajor || minor > maxMinor {
		return nil, fmt.Errorf("device %d:%d, the highest is %d:%d: %w", major, minor, maxMajor, maxMinor, ErrTree)
	}
	b := new([inodeBlockSize]byte)
	if major < 256 && minor < 256 {
		binary.LittleEndian.PutUint32(b[0:], major<<8|minor)
		return b, nil
	}
	binary.LittleEndian.PutUint32(b[4:], minor&0xFF|major<<8|minor&^0xFF<<12)
	return b, nil
}
