package ext4

import (
	"encoding/binary"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/image"
)

// foreignInode is an inode of a filesystem that somebody made.
type foreignInode struct {
	ino     uint32
	raw     []byte
	seed    uint32 // of the checksums of its blocks
	mode    uint32
	uid     uint32
	gid     uint32
	modTime image.Time
	size    uint64
	flags   uint32
	// xattrBlock holds attributes; 0 is none.
	xattrBlock uint64
	// inline is what of inline content is not in i_block.
	inline []byte
}

// area returns i_block.
func (n *foreignInode) area() []byte { return n.raw[inodeBlock:][:inodeBlockSize] }

// extra returns how many bytes past the first 128 have fields.
func (n *foreignInode) extra() int {
	if len(n.raw) <= inodeOldSize {
		return 0
	}
	return int(binary.LittleEndian.Uint16(n.raw[inodeExtraSize:]))
}

// inode reads an inode in use.
func (r *reader) inode(ino uint32) (*foreignInode, error) {
	if ino == 0 || ino > r.InodesCount {
		return nil, fmt.Errorf("%w: there are %d inodes", container.ErrFormat, r.InodesCount)
	}
	group, index := (ino-1)/r.InodesPerGroup, int64((ino-1)%r.InodesPerGroup)
	table, err := r.inodeTable(group)
	if err != nil {
		return nil, fmt.Errorf("descriptor of group %d: %w", group, err)
	}
	perBlock := r.blockSize / r.inodeSize
	b, err := r.block(table + uint64(index/perBlock))
	if err != nil {
		return nil, err
	}
	n := &foreignInode{ino: ino, raw: make([]byte, r.inodeSize)}
	copy(n.raw, b[index%perBlock*r.inodeSize:])
	if err := r.checkInode(n); err != nil {
		return nil, err
	}
	r.decodeInode(n)
	for _, f := range refusedFlags {
		if n.flags&f.bit != 0 {
			return nil, fmt.Errorf("%w: %s", container.ErrUnsupported, f.what)
		}
	}
	return n, nil
}

func (r *reader) checkInode(n *foreignInode) error {
	le := binary.LittleEndian
	if extra := n.extra(); extra%4 != 0 || extra > len(n.raw)-inodeOldSize {
		return fmt.Errorf("%w: it has %d bytes of extra fields, want a multiple of 4 up to %d", container.ErrFormat, extra, len(n.raw)-inodeOldSize)
	}
	n.seed = r.sums.inodeSeed(n.ino, le.Uint32(n.raw[inodeGeneration:]))
	if err := r.sums.checkInode(n); err != nil {
		return err
	}
	if le.Uint16(n.raw[inodeLinks:]) == 0 {
		return fmt.Errorf("%w: it was deleted, but still has a name", container.ErrFormat)
	}
	return nil
}

func (r *reader) decodeInode(n *foreignInode) {
	le := binary.LittleEndian
	b := n.raw
	n.mode = uint32(le.Uint16(b[inodeMode:]))
	n.uid = uint32(le.Uint16(b[inodeUIDLo:])) | uint32(le.Uint16(b[inodeUIDHi:]))<<16
	n.gid = uint32(le.Uint16(b[inodeGIDLo:])) | uint32(le.Uint16(b[inodeGIDHi:]))<<16
	n.flags = le.Uint32(b[inodeFlags:])
	n.size = uint64(le.Uint32(b[inodeSizeLo:]))
	// In directories the upper half was once something else.
	if n.mode&image.TypeMask != image.TypeDir || r.Incompat&incompatLargeDir != 0 {
		n.size |= uint64(le.Uint32(b[inodeSizeHi:])) << 32
	}
	n.xattrBlock = uint64(le.Uint32(b[inodeACLLo:]))
	if r.Incompat&incompat64Bit != 0 {
		n.xattrBlock |= uint64(le.Uint16(b[inodeACLHi:])) << 32
	}
	var more uint32
	if n.extra() >= inodeModifyMore+4-inodeOldSize {
		more = le.Uint32(b[inodeModifyMore:])
	}
	n.modTime = decodeTime(le.Uint32(b[inodeModify:]), more)
}

// decodeTime is the inverse of encodeTime. What is left of more than a second is
// not a time.
func decodeTime(low, more uint32) image.Time {
	t := image.Time{Sec: int64(int32(low)) + int64(more&3)<<32}
	if nsec := more >> 2; nsec < nanoseconds {
		t.Nsec = nsec
	}
	return t
}

// device returns the numbers of a device: in the old 16-bit form, or where that
// is zero in the new one.
func (n *foreignInode) device() (major, minor uint32) {
	le := binary.LittleEndian
	if old := le.Uint32(n.area()); old != 0 {
		return old >> 8 & 0xFF, old & 0xFF
	}
	number := le.Uint32(n.area()[4:])
	return number >> 8 & maxMajor, number&0xFF | number>>12&^0xFF
}

// hasBlocks reports whether blocks belong to the inode besides that of its
// attributes.
func (r *reader) hasBlocks(n *foreignInode) bool {
	le := binary.LittleEndian
	sectors := uint64(le.Uint32(n.raw[inodeBlocksLo:]))
	if r.ROCompat&roCompatHugeFile != 0 {
		sectors |= uint64(le.Uint16(n.raw[inodeBlocksHi:])) << 32
	}
	if n.xattrBlock == 0 {
		return sectors != 0
	}
	cluster := uint64(r.blockSize)
	if r.ROCompat&roCompatBigalloc != 0 {
		cluster = 1 << (minLogBlockSize + r.LogClusterSize)
	}
	return sectors > cluster/sectorSize
}

// target returns where a symbolic link leads: what stands in i_block where the
// link is short and has no blocks, otherwise its content.
func (r *reader) target(n *foreignInode) (string, error) {
	if n.size == 0 || n.size > maxTarget {
		return "", fmt.Errorf("%w: the target of a symbolic link has %d bytes, want 1 to %d", container.ErrFormat, n.size, maxTarget)
	}
	var target []byte
	var err error
	switch {
	case n.flags&flagInline != 0:
		target, err = n.inlineContent()
	case n.size < inodeBlockSize && !r.hasBlocks(n):
		target = n.area()[:n.size]
	default:
		target, err = r.readContent(n)
	}
	if err != nil {
		return "", fmt.Errorf("target of a symbolic link: %w", err)
	}
	for _, c := range target {
		if c == 0 {
			return "", fmt.Errorf("%w: the target of a symbolic link, %q, has a zero byte", container.ErrFormat, target)
		}
	}
	return string(target), nil
}
