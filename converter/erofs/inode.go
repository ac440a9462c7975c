package erofs

import (
	"encoding/binary"
	"math"

	"github.com/cloudlets/cloudlets/converter/inventory"
	"github.com/cloudlets/cloudlets/image"
)

// node is a file with where it stands.
type node struct {
	file   *inventory.File
	size   int64  // of the content in bytes
	xattrs []byte // what stands behind the inode
	layout uint16
	at     int64  // of the inode, from the first block of metadata
	block  uint32 // the first of the content

	extended bool
}

// number is what directories and the superblock call an inode.
func (n *node) number() uint64 { return uint64(n.at / slotSize) }

// inodeSize returns the length of the inode without what stands behind it.
func (n *node) inodeSize() int64 {
	if n.extended {
		return extendedSize
	}
	return compactSize
}

// tail returns how many bytes of the content stand behind the inode and its
// attributes.
func (n *node) tail() int64 {
	if n.layout != layoutInline {
		return 0
	}
	return n.size % blockSize
}

// tailAt returns where the tail stands.
func (n *node) tailAt() int64 { return n.at + n.inodeSize() + int64(len(n.xattrs)) }

// blocks returns how many blocks the content takes.
func (n *node) blocks() int64 { return (n.size - n.tail() + blockSize - 1) / blockSize }

func (n *node) links() int {
	if n.file.IsDir() {
		return n.file.Subdirectories + 2
	}
	return n.file.Names
}

// needsExtended reports whether a file needs the larger inode.
func (n *node) needsExtended(built image.Time) bool {
	f := n.file
	return f.ModTime != built || f.UID > math.MaxUint16 || f.GID > math.MaxUint16 || n.links() > math.MaxUint16 || n.size > math.MaxUint32
}

// encode fills b, which is zeros, with the inode and its attributes.
func (n *node) encode(b []byte) {
	le := binary.LittleEndian
	f := n.file
	format := n.layout << formatLayoutShift
	if n.extended {
		format |= formatExtended
	}
	le.PutUint16(b[inodeFormat:], format)
	le.PutUint16(b[inodeXattrs:], uint16(xattrWords(n.xattrs)))
	le.PutUint16(b[inodeMode:], uint16(f.Mode))
	le.PutUint32(b[inodeIno:], uint32(f.Number)+1)
	switch f.Type() {
	case image.TypeChar, image.TypeBlock:
		le.PutUint32(b[inodeUnion:], f.Minor&0xFF|f.Major<<8|f.Minor&^0xFF<<12)
	case image.TypeRegular, image.TypeDir, image.TypeSymlink:
		le.PutUint32(b[inodeUnion:], n.block)
	}
	copy(b[n.inodeSize():], n.xattrs)
	if !n.extended {
		le.PutUint32(b[inodeSize:], uint32(n.size))
		le.PutUint16(b[compactLinks:], uint16(n.links()))
		le.PutUint16(b[compactUID:], uint16(f.UID))
		le.PutUint16(b[compactGID:], uint16(f.GID))
		return
	}
	le.PutUint64(b[inodeSize:], uint64(n.size))
	le.PutUint32(b[extendedUID:], f.UID)
	le.PutUint32(b[extendedGID:], f.GID)
	le.PutUint64(b[extendedTime:], uint64(f.ModTime.Sec))
	le.PutUint32(b[extendedNsec:], f.ModTime.Nsec)
	le.PutUint32(b[extendedLinks:], uint32(n.links()))
}
