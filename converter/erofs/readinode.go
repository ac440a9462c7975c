package erofs

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/image"
)

// inode is what an inode says besides what its file keeps.
type inode struct {
	*image.Inode
	at     int64 // in the file
	end    int64 // of the inode and its attributes
	layout uint16
	size   uint64
	union  uint32
}

// ReadInode is what [container.Inodes] asks for.
func (r *reader) ReadInode(id uint64) (*image.Inode, error) {
	n, err := r.readFields(id)
	if err != nil {
		return nil, err
	}
	switch n.Type() {
	case image.TypeRegular:
		return n.Inode, r.readContent(n)
	case image.TypeDir:
		if err := r.readContent(n); err != nil {
			return nil, err
		}
		r.dirs[id] = &image.Inode{Mode: image.TypeRegular, Content: n.Content}
		n.Content, n.Order = nil, 0
	case image.TypeSymlink:
		return n.Inode, r.readTarget(n)
	case image.TypeChar, image.TypeBlock:
		n.Major, n.Minor = n.union>>8&maxMajor, n.union&0xFF|n.union>>12&^0xFF
	case image.TypeFIFO, image.TypeSocket:
	default:
		return nil, fmt.Errorf("%w: an inode of mode %#o, which names no type", container.ErrFormat, n.Mode)
	}
	return n.Inode, nil
}

// readFields reads the inode and the attributes of a file.
func (r *reader) readFields(number uint64) (*inode, error) {
	if number > uint64(r.file.Size)/slotSize {
		return nil, fmt.Errorf("%w: inode %d ends outside the file of %d bytes", container.ErrFormat, number, r.file.Size)
	}
	le := binary.LittleEndian
	n := &inode{Inode: &image.Inode{ModTime: r.time}, at: r.place(r.metaBlock) + int64(number)*slotSize}
	b, err := r.file.Bytes("inode", uint64(n.at), compactSize)
	if err != nil {
		return nil, err
	}
	format := le.Uint16(b[inodeFormat:])
	n.layout = format >> formatLayoutShift
	n.Mode = uint32(le.Uint16(b[inodeMode:]))
	n.union = le.Uint32(b[inodeUnion:])
	n.end = n.at + compactSize
	if format&formatExtended == 0 {
		n.size = uint64(le.Uint32(b[inodeSize:]))
		n.UID, n.GID = uint32(le.Uint16(b[compactUID:])), uint32(le.Uint16(b[compactGID:]))
	} else if err := r.readExtended(n); err != nil {
		return nil, err
	}
	return n, r.readXattrs(n, le.Uint16(b[inodeXattrs:]))
}

// readExtended reads the fields of an extended inode.
func (r *reader) readExtended(n *inode) error {
	le := binary.LittleEndian
	b, err := r.file.Bytes("extended inode", uint64(n.at), extendedSize)
	if err != nil {
		return err
	}
	n.size = le.Uint64(b[inodeSize:])
	n.UID, n.GID = le.Uint32(b[extendedUID:]), le.Uint32(b[extendedGID:])
	n.ModTime = image.Time{Sec: int64(le.Uint64(b[extendedTime:])), Nsec: le.Uint32(b[extendedNsec:])}
	n.end = n.at + extendedSize
	if n.ModTime.Nsec >= nanoseconds {
		return fmt.Errorf("%w: a time of %d nanoseconds, expected less than a second", container.ErrFormat, n.ModTime.Nsec)
	}
	return nil
}

// readTarget reads the target of a symbolic link.
func (r *reader) readTarget(n *inode) error {
	if n.size == 0 || n.size > maxTarget {
		return fmt.Errorf("%w: a symbolic link with a target of %d bytes, expected 1 to %d", container.ErrFormat, n.size, maxTarget)
	}
	if err := r.readContent(n); err != nil {
		return err
	}
	if err := r.memory.Spend(int64(n.size)); err != nil {
		return err
	}
	target, err := r.bytes(n.Inode, 0, int64(n.size))
	if err != nil {
		return err
	}
	n.Target, n.Content, n.Order = string(target), nil, 0
	if strings.Contains(n.Target, "\x00") {
		return fmt.Errorf("%w: a symbolic link whose target holds a zero byte", container.ErrFormat)
	}
	return nil
}
