package ext4

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/image"
)

// Extended attributes (ext4 doc, "Extended Attributes"): as many as fit stand
// in the inode, the others in one block.
const (
	xattrMagic        = 0xEA020000
	xattrEntrySize    = 16 // without the name
	xattrEndSize      = 4  // zeros after the last entry
	xattrHeaderInode  = 4
	xattrHeaderBlock  = 32
	xattrHashOffset   = 0x0C
	xattrSumOffset    = 0x10
	xattrInodeRoom    = inodeSize - inodeXattrs - xattrHeaderInode - xattrEndSize
	xattrBlockRoom    = blockSize - xattrHeaderBlock - xattrEndSize
	xattrNameShift    = 5
	xattrValueShift   = 16
	xattrEntriesShift = 16
)

// Name indexes, which stand for the start of a name.
const (
	indexUser       = 1
	indexACLAccess  = 2
	indexACLDefault = 3
	indexTrusted    = 4
	indexSecurity   = 6
)

// xattrPrefixes are what the indexes stand for: the start of a name, or all of it.
var xattrPrefixes = []xattrPrefix{
	{indexUser, "user."},
	{indexACLAccess, "system.posix_acl_access"},
	{indexACLDefault, "system.posix_acl_default"},
	{indexTrusted, "trusted."},
	{indexSecurity, "security."},
}

type xattrPrefix struct {
	index  uint8
	prefix string
}

// isACL reports whether the prefix is the whole name, that of a POSIX ACL.
func (p xattrPrefix) isACL() bool { return p.index == indexACLAccess || p.index == indexACLDefault }

// xattr is an attribute as it is stored.
type xattr struct {
	index uint8
	name  string // without what the index stands for
	value []byte
}

// size returns what the attribute takes of the room.
func (x xattr) size() int {
	return xattrEntrySize + (len(x.name)+3)&^3 + (len(x.value)+3)&^3
}

// compareXattrs is the order in which the kernel searches a block.
func compareXattrs(a, b xattr) int {
	return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(len(a.name), len(b.name)), cmp.Compare(a.name, b.name))
}

// encodedXattrs are the attributes of one file; either part may be nil.
type encodedXattrs struct {
	inline []byte // what follows the fields of the inode
	block  blocks // lacks its checksum
}

// encodeXattrs encodes the attributes of a file.
func encodeXattrs(attrs []image.Xattr) (enc encodedXattrs, err error) {
	if len(attrs) == 0 {
		return enc, nil
	}
	xattrs := make([]xattr, len(attrs))
	for i, a := range attrs {
		if xattrs[i], err = storedXattr(a); err != nil {
			return enc, fmt.Errorf("extended attribute %q: %w", a.Name, err)
		}
	}
	slices.SortFunc(xattrs, compareXattrs)
	for i := range xattrs[1:] {
		if compareXattrs(xattrs[i], xattrs[i+1]) == 0 {
			return enc, fmt.Errorf("extended attribute %q comes twice: %w", xattrs[i].name, ErrTree)
		}
	}
	inline, rest := splitXattrs(xattrs)
	if size := totalSize(rest); size > xattrBlockRoom {
		return enc, fmt.Errorf("%d bytes of extended attributes do not fit in the inode and those that are left take %d bytes of a block that has %d: %w",
			totalSize(xattrs), size, xattrBlockRoom, ErrTree)
	}
	if len(inline) > 0 {
		enc.inline = inlineXattrs(inline)
	}
	if len(rest) > 0 {
		enc.block = xattrBlock(rest)
	}
	return enc, nil
}

// storedXattr splits the name and translates the value.
func storedXattr(a image.Xattr) (xattr, error) {
	for _, p := range xattrPrefixes {
		name, ok := strings.CutPrefix(a.Name, p.prefix)
		switch {
		case !ok || p.isACL() && name != "":
			continue
		case p.isACL():
			value, err := diskACL(a.Value)
			return xattr{p.index, "", value}, err
		case name == "" || len(name) > maxNameLength || strings.Contains(name, "\x00"):
			return xattr{}, fmt.Errorf("after its first dot the name must have 1 to %d bytes, none of them zero: %w", maxNameLength, ErrTree)
		}
		return xattr{p.index, name, a.Value}, nil
	}
	return xattr{}, fmt.Errorf("the name must start with user., trusted. or security., or be that of a POSIX ACL: %w", ErrTree)
}

// splitXattrs chooses, the largest first, what stands in the inode. Both parts
// stay sorted.
func splitXattrs(sorted []xattr) (inline, rest []xattr) {
	bySize := slices.Clone(sorted)
	slices.SortStableFunc(bySize, func(a, b xattr) int { return cmp.Compare(b.size(), a.size()) })
	room := xattrInodeRoom
	for _, x := range bySize {
		if x.size() <= room {
			room -= x.size()
			inline = append(inline, x)
			continue
		}
		rest = append(rest, x)
	}
	slices.SortFunc(inline, compareXattrs)
	slices.SortFunc(rest, compareXattrs)
	return inline, rest
}

func totalSize(xattrs []xattr) (n int) {
	for _, x := range xattrs {
		n += x.size()
	}
	return n
}

// inlineXattrs encodes attributes as they stand in an inode, where entries have
// no hash and values are counted from the first entry.
func inlineXattrs(xattrs []xattr) []byte {
	b := make([]byte, inodeSize-inodeXattrs)
	binary.LittleEndian.PutUint32(b, xattrMagic)
	putXattrs(b[xattrHeaderInode:], 0, xattrs, false)
	return b
}

// xattrBlock encodes attributes as a block of their own.
func xattrBlock(xattrs []xattr) blocks {
	b := make(blocks, blockSize)
	le := binary.LittleEndian
	le.PutUint32(b[0:], xattrMagic)
	le.PutUint32(b[4:], 1) // inodes that share it
	le.PutUint32(b[8:], 1) // blocks
	putXattrs(b, xattrHeaderBlock, xattrs, true)
	var hash uint32
	for _, x := range xattrs {
		hash = hash<<xattrEntriesShift ^ hash>>(32-xattrEntriesShift) ^ x.hash()
	}
	le.PutUint32(b[xattrHashOffset:], hash)
	return b
}

// putXattrs encodes the entries from at on and their values from the end of b
// backwards.
func putXattrs(b []byte, at int, xattrs []xattr, hashed bool) {
	le := binary.LittleEndian
	end := len(b)
	for _, x := range xattrs {
		e := b[at:]
		e[0] = uint8(len(x.name))
		e[1] = x.index
		if len(x.value) > 0 {
			end -= (len(x.value) + 3) &^ 3
			le.PutUint16(e[2:], uint16(end))
			copy(b[end:], x.value)
		}
		le.PutUint32(e[8:], uint32(len(x.value)))
		if hashed {
			le.PutUint32(e[12:], x.hash())
		}
		copy(e[xattrEntrySize:], x.name)
		at += xattrEntrySize + (len(x.name)+3)&^3
	}
}

// hash returns e_hash, which covers the name and the value.
func (x xattr) hash() (h uint32) {
	for _, c := range []byte(x.name) {
		h = h<<xattrNameShift ^ h>>(32-xattrNameShift) ^ uint32(c)
	}
	for v := x.value; len(v) > 0; {
		var word [4]byte
		v = v[copy(word[:], v):]
		h = h<<xattrValueShift ^ h>>(32-xattrValueShift) ^ binary.LittleEndian.Uint32(word[:])
	}
	return h
}
