package squashfs

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/cloudlets/cloudlets/converter/inventory"
	"github.com/cloudlets/cloudlets/image"
)

// fileTypes are the types of files by basic type of inode.
var fileTypes = [...]uint32{
	typeDir:     image.TypeDir,
	typeFile:    image.TypeRegular,
	typeSymlink: image.TypeSymlink,
	typeBlock:   image.TypeBlock,
	typeChar:    image.TypeChar,
	typeFIFO:    image.TypeFIFO,
	typeSocket:  image.TypeSocket,
}

func basicType(f *inventory.File) uint16 { return uint16(slices.Index(fileTypes[:], f.Type())) }

// inodeNumber returns the number of a file. They start from 1.
func inodeNumber(f *inventory.File) uint32 { return uint32(f.Number) + 1 }

// permissions are what of a mode is not the type.
const permissions = 0o7777

// appendHeader appends what all inodes start with.
func (p *plan) appendHeader(b []byte, f *inventory.File, extended bool) []byte {
	le := binary.LittleEndian
	kind := basicType(f)
	if extended {
		kind += toExtended
	}
	b = le.AppendUint16(b, kind)
	b = le.AppendUint16(b, uint16(f.Mode&permissions))
	b = le.AppendUint16(b, p.ids.index[f.UID])
	b = le.AppendUint16(b, p.ids.index[f.GID])
	b = le.AppendUint32(b, seconds(f.ModTime))
	return le.AppendUint32(b, inodeNumber(f))
}

// seconds returns a time as squashfs keeps it. Like Linux, it takes the nearest
// there is for one before 1970 or after 2106-02-07.
func seconds(t image.Time) uint32 {
	return uint32(min(max(t.Sec, 0), math.MaxUint32))
}

// inode encodes the inode of a file that is not a directory.
func (p *plan) inode(b []byte, f *inventory.File, xattrs uint32) []byte {
	if f.IsRegular() {
		return p.regular(b, f, xattrs)
	}
	le := binary.LittleEndian
	extended := xattrs != noXattrs
	b = p.appendHeader(b, f, extended)
	b = le.AppendUint32(b, uint32(f.Names))
	switch f.Type() {
	case image.TypeSymlink:
		b = le.AppendUint32(b, uint32(len(f.Target)))
		b = append(b, f.Target...)
	case image.TypeBlock, image.TypeChar:
		b = le.AppendUint32(b, deviceNumber(f.Major, f.Minor))
	}
	if extended {
		b = le.AppendUint32(b, xattrs)
	}
	return b
}

// deviceNumber encodes device numbers as Linux does (include/linux/kdev_t.h,
// new_encode_dev).
func deviceNumber(major, minor uint32) uint32 {
	return minor&0xFF | major<<8 | minor&^0xFF<<12
}

// regular encodes the inode of a regular file.
func (p *plan) regular(b []byte, f *inventory.File, xattrs uint32) []byte {
	le := binary.LittleEndian
	c := content{fragment: noFragment}
	if f.Bytes > 0 {
		c = p.contents[f]
	}
	if f.Names == 1 && xattrs == noXattrs && c.holes == 0 && c.start <= math.MaxUint32 && f.Bytes <= math.MaxUint32 {
		b = p.appendHeader(b, f, false)
		b = le.AppendUint32(b, uint32(c.start))
		b = le.AppendUint32(b, c.fragment)
		b = le.AppendUint32(b, c.offset)
		b = le.AppendUint32(b, uint32(f.Bytes))
	} else {
		b = p.appendHeader(b, f, true)
		b = le.AppendUint64(b, uint64(c.start))
		b = le.AppendUint64(b, uint64(f.Bytes))
		b = le.AppendUint64(b, uint64(c.holes))
		b = le.AppendUint32(b, uint32(f.Names))
		b = le.AppendUint32(b, c.fragment)
		b = le.AppendUint32(b, c.offset)
		b = le.AppendUint32(b, xattrs)
	}
	for _, word := range c.words {
		b = le.AppendUint32(b, word)
	}
	return b
}

// directoryInode encodes the inode of a directory.
func (p *plan) directoryInode(b []byte, d *inventory.File, l listing, xattrs uint32) []byte {
	le := binary.LittleEndian
	links := uint32(d.Subdirectories + 2)
	size := l.size + dirSizeSurplus
	parent := inodeNumber(d.Parent)
	if d.Parent == d {
		// The root's parent is one more than there are, as squashfs-tools have it.
		parent = uint32(len(p.list.Files)) + 1
	}
	if xattrs == noXattrs && len(l.indexes) == 0 && size <= maxBasicDir {
		b = p.appendHeader(b, d, false)
		b = le.AppendUint32(b, uint32(l.start.block()))
		b = le.AppendUint32(b, links)
		b = le.AppendUint16(b, uint16(size))
		b = le.AppendUint16(b, l.start.offset())
		return le.AppendUint32(b, parent)
	}
	b = p.appendHeader(b, d, true)
	b = le.AppendUint32(b, links)
	b = le.AppendUint32(b, uint32(size))
	b = le.AppendUint32(b, uint32(l.start.block()))
	b = le.AppendUint32(b, parent)
	b = le.AppendUint16(b, uint16(len(l.indexes)))
	b = le.AppendUint16(b, l.start.offset())
	b = le.AppendUint32(b, xattrs)
	for _, i := range l.indexes {
		b = le.AppendUint32(b, i.offset)
		b = le.AppendUint32(b, i.block)
		b = le.AppendUint32(b, uint32(len(i.name)-1))
		b = append(b, i.name...)
	}
	return b
}
