package ext4

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/image"
)

// sharedXattrs is a block of attributes that was read.
type sharedXattrs struct {
	xattrs []image.Xattr
	left   uint32 // inodes that may still name it
}

// xattrs returns the attributes of an inode, sorted by name, and apart from them
// what of inline content stands among them.
func (r *reader) xattrs(n *foreignInode) (xattrs []image.Xattr, inline []byte, err error) {
	le := binary.LittleEndian
	if start := inodeOldSize + n.extra(); n.extra() > 0 && start+xattrHeaderInode <= len(n.raw) && le.Uint32(n.raw[start:]) == xattrMagic {
		room := n.raw[start+xattrHeaderInode:]
		if xattrs, inline, err = decodeXattrs(room, room); err != nil {
			return nil, nil, err
		}
	}
	if n.xattrBlock != 0 {
		more, err := r.xattrBlock(n.xattrBlock)
		if err != nil {
			return nil, nil, fmt.Errorf("block %d: %w", n.xattrBlock, err)
		}
		xattrs = slices.Concat(xattrs, more)
	}
	if err := container.SortXattrs(xattrs); err != nil {
		return nil, nil, err
	}
	return xattrs, inline, r.memory.Spend(container.XattrMemory * int64(len(xattrs)))
}

// xattrBlock returns the attributes of a block, which several inodes may share.
func (r *reader) xattrBlock(number uint64) ([]image.Xattr, error) {
	s := r.shared[number]
	if s == nil {
		var err error
		if s, err = r.readXattrBlock(number); err != nil {
			return nil, err
		}
		if r.shared == nil {
			r.shared = make(map[uint64]*sharedXattrs)
		}
		r.shared[number] = s
	}
	if s.left == 0 {
		return nil, fmt.Errorf("%w: more inodes share it than it says", container.ErrFormat)
	}
	s.left--
	return s.xattrs, nil
}

func (r *reader) readXattrBlock(number uint64) (*sharedXattrs, error) {
	b, err := r.claim(number, 0)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if le.Uint32(b) != xattrMagic || le.Uint32(b[8:]) != 1 {
		return nil, fmt.Errorf("%w: it has the magic number %#08x and is one of %d, want %#08x and 1", container.ErrFormat, le.Uint32(b), le.Uint32(b[8:]), xattrMagic)
	}
	if err := r.sums.checkXattrs(b, number); err != nil {
		return nil, err
	}
	sharers := le.Uint32(b[4:])
	if sharers > maxXattrSharers {
		return nil, fmt.Errorf("%w: %d inodes share it, want at most %d", container.ErrFormat, sharers, maxXattrSharers)
	}
	xattrs, _, err := decodeXattrs(b[xattrHeaderBlock:], b)
	return &sharedXattrs{xattrs, sharers}, err
}

// decodeXattrs decodes a list of attributes. Their values are at offsets in
// values.
func decodeXattrs(list, values []byte) (xattrs []image.Xattr, inline []byte, err error) {
	le := binary.LittleEndian
	left := len(values) // bounds values that lie over each other
	for len(list) >= xattrEndSize && le.Uint32(list) != 0 {
		if len(list) < xattrEntrySize || len(list) < xattrEntrySize+int(list[0]) {
			return nil, nil, fmt.Errorf("%w: an entry lies outside its place", container.ErrFormat)
		}
		name := string(list[xattrEntrySize:][:list[0]])
		if le.Uint32(list[4:]) != 0 {
			return nil, nil, fmt.Errorf("%w: the value of %q is in an inode of its own (ea_inode)", container.ErrUnsupported, name)
		}
		offset, size := int64(le.Uint16(list[2:])), int64(le.Uint32(list[8:]))
		if size > int64(left) || size > 0 && offset+size > int64(len(values)) {
			return nil, nil, fmt.Errorf("%w: the value of %q, %d bytes at %d, lies outside its place", container.ErrFormat, name, size, offset)
		}
		left -= int(size)
		var value []byte
		if size > 0 {
			value = slices.Clone(values[offset : offset+size])
		}
		if list[1] == indexSystem && name == inlineDataName {
			inline = value
		} else {
			x, err := foreignXattr(list[1], name, value)
			if err != nil {
				return nil, nil, fmt.Errorf("%q: %w", name, err)
			}
			xattrs = append(xattrs, x)
		}
		list = list[min(len(list), xattrEntrySize+(int(list[0])+3)&^3):]
	}
	return xattrs, inline, nil
}

// foreignXattr is the inverse of storedXattr.
func foreignXattr(index uint8, name string, value []byte) (x image.Xattr, err error) {
	i := slices.IndexFunc(xattrPrefixes, func(p xattrPrefix) bool { return p.index == index })
	if i < 0 {
		return x, fmt.Errorf("%w: it is of the unknown kind %d", container.ErrUnsupported, index)
	}
	p := xattrPrefixes[i]
	if strings.Contains(name, "\x00") || (name == "") != p.isACL() {
		return x, fmt.Errorf("%w: it is no name to follow %q", container.ErrFormat, p.prefix)
	}
	if p.isACL() {
		value, err = archiveACL(value)
	}
	return image.Xattr{Name: p.prefix + name, Value: value}, err
}
