package squashfs

import (
	"fmt"
	"math"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/image"
)

// ReadInode is what [container.Inodes] asks for. Files are called by references.
func (r *reader) ReadInode(id uint64) (*image.Inode, error) {
	c := r.metadata.at("inode", r.inodeTable, reference(id))
	kind := c.uint16()
	n := &image.Inode{Mode: uint32(c.uint16()) & permissions}
	owner, group := c.uint16(), c.uint16()
	n.ModTime.Sec = int64(c.uint32())
	c.uint32() // the inode's number: references tell files apart
	if c.err != nil {
		return nil, c.err
	}
	if kind < typeDir || kind > typeExtendedSocket {
		return nil, fmt.Errorf("%w: an inode of type %d, expected %d to %d", container.ErrFormat, kind, typeDir, typeExtendedSocket)
	}
	extended := kind >= typeExtendedDir
	if extended {
		kind -= toExtended
	}
	n.Mode |= fileTypes[kind]
	var err error
	if n.UID, err = r.id(owner); err != nil {
		return nil, err
	}
	if n.GID, err = r.id(group); err != nil {
		return nil, err
	}
	var xattrs uint32
	switch kind {
	case typeDir:
		r.listings[reference(id)], xattrs = readDirInode(c, extended)
	case typeFile:
		xattrs, err = r.readFile(c, n, extended)
	default:
		xattrs, err = r.readSpecial(c, n, extended)
	}
	if c.err != nil {
		err = c.err
	}
	if err == nil {
		n.Xattrs, err = r.readXattrs(xattrs)
	}
	return n, err
}

// id returns an entry of the table of users and groups.
func (r *reader) id(index uint16) (uint32, error) {
	if index >= r.ids {
		return 0, fmt.Errorf("%w: user or group %d of %d", container.ErrFormat, index, r.ids)
	}
	c := r.metadata.entry("table of users and groups", r.idTable, uint64(index), idSize)
	return c.uint32(), c.err
}

// readDirInode reads the fields of a directory. The index is not needed to read
// it whole.
func readDirInode(c *cursor, extended bool) (place listingPlace, xattrs uint32) {
	xattrs = noXattrs
	var block uint32
	var offset uint16
	if extended {
		c.uint32() // links
		place.size, block = int64(c.uint32()), c.uint32()
		c.uint32() // the directory above
		c.uint16() // entries of the index
		offset, xattrs = c.uint16(), c.uint32()
	} else {
		block = c.uint32()
		c.uint32() // links
		place.size, offset = int64(c.uint16()), c.uint16()
		c.uint32() // the directory above
	}
	place.size -= dirSizeSurplus
	place.start = newReference(int64(block), int(offset))
	return place, xattrs
}

// maxTarget is how long the target of a symbolic link can be.
const maxTarget = 4095

// readSpecial reads the fields of what is neither a directory nor a regular
// file, and returns the number of its attributes.
func (r *reader) readSpecial(c *cursor, n *image.Inode, extended bool) (uint32, error) {
	c.uint32() // links
	switch n.Type() {
	case image.TypeSymlink:
		length := c.uint32()
		if c.err == nil && (length == 0 || length > maxTarget) {
			return 0, fmt.Errorf("%w: a symbolic link with a target of %d bytes, expected 1 to %d", container.ErrFormat, length, maxTarget)
		}
		if err := r.memory.Spend(int64(length)); err != nil {
			return 0, err
		}
		n.Target = string(c.bytes(int(min(length, maxTarget))))
	case image.TypeBlock, image.TypeChar:
		device := c.uint32()
		n.Major, n.Minor = device>>8&maxMajor, device&0xFF|device>>12&^0xFF
	}
	if !extended {
		return noXattrs, nil
	}
	return c.uint32(), nil
}

// readFile reads the fields of a regular file and its content, and returns the
// number of its attributes.
func (r *reader) readFile(c *cursor, n *image.Inode, extended bool) (uint32, error) {
	var start, size uint64
	var fragment, offset uint32
	xattrs := uint32(noXattrs)
	if extended {
		start, size = c.uint64(), c.uint64()
		c.uint64() // bytes in holes
		c.uint32() // links
		fragment, offset, xattrs = c.uint32(), c.uint32(), c.uint32()
	} else {
		start, fragment, offset = uint64(c.uint32()), c.uint32(), c.uint32()
		size = uint64(c.uint32())
	}
	if c.err != nil {
		return 0, c.err
	}
	if size > math.MaxInt64-maxBlockSize {
		return 0, fmt.Errorf("%w: a file of %d bytes", container.ErrFormat, size)
	}
	inBlocks := int64(size)
	if fragment != noFragment {
		inBlocks -= inBlocks % int64(r.blockSize)
	}
	n.Order = int64(min(start, math.MaxInt64))
	if err := r.readBlocks(c, n, start, inBlocks); err != nil {
		return 0, err
	}
	if fragment == noFragment || inBlocks == int64(size) {
		return xattrs, nil
	}
	return xattrs, r.addTail(n, fragment, offset, uint32(int64(size)-inBlocks))
}
