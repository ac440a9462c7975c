package qcow2

import (
	"encoding/binary"
)

// feature is a line of the feature name table, by which a reader can name a
// feature bit it does not know.
type feature struct {
	kind byte // 0 incompatible, 1 compatible, 2 autoclear
	bit  byte
	name string // at most 46 bytes
}

// featureNameSize is the length of a line of the feature name table: kind, bit
// and a name padded with zeros.
const featureNameSize = 48

// featureNames returns the names the specification gives its feature bits.
func featureNames() []feature {
	return []feature{
		{0, 0, "dirty bit"},
		{0, 1, "corrupt bit"},
		{0, 2, "external data file"},
		{0, 3, "compression type"},
		{0, 4, "extended L2 entries"},
		{1, 0, "lazy refcounts"},
		{2, 0, "bitmaps"},
		{2, 1, "raw external data"},
	}
}

// header returns the file's first bytes: the header, its extensions and the name
// of the parent. They fit the smallest cluster.
func (l *layout) header() []byte {
	be := binary.BigEndian
	h := make([]byte, maxHeaderLength)
	be.PutUint32(h[0:], magic)
	be.PutUint32(h[4:], l.version)
	be.PutUint32(h[20:], uint32(l.clusterBits))
	be.PutUint64(h[24:], uint64(l.virtualSize))
	// 32: encryption method; 0 is none.
	be.PutUint32(h[36:], uint32(l.l1Entries))
	be.PutUint64(h[40:], uint64(l.l1At()<<l.clusterBits))
	be.PutUint64(h[48:], uint64(l.refcountTableAt()<<l.clusterBits))
	be.PutUint32(h[56:], uint32(l.refcountTable))
	// 60: number of snapshots, 64: offset of the snapshot table; 0 is none.
	if l.version == version2 {
		return l.appendBacking(h[:headerLengthV2])
	}
	length := headerLengthV3
	if l.compression != Zlib {
		length = maxHeaderLength
		be.PutUint64(h[72:], incompatibleCompression)
		h[104] = byte(l.compression)
	}
	// 80, 88: compatible and autoclear features; 0 is none.
	be.PutUint32(h[96:], refcountOrder)
	be.PutUint32(h[100:], uint32(length))
	if l.parent != nil {
		// The names of features are left out: the smallest cluster has no room.
		return l.appendBacking(h[:length])
	}
	return appendExtension(appendFeatureNames(h[:length]), extensionEnd, nil)
}

// appendBacking appends the extension and the name that say what the parent is,
// if there is one.
func (l *layout) appendBacking(h []byte) []byte {
	if l.parent == nil {
		return h
	}
	h = appendExtension(h, extensionBackingFormat, []byte(backingFormat))
	h = appendExtension(h, extensionEnd, nil)
	binary.BigEndian.PutUint64(h[backingOffset:], uint64(len(h)))
	binary.BigEndian.PutUint32(h[backingLength:], uint32(len(l.parent.Digest)))
	return append(h, l.parent.Digest...)
}

func appendFeatureNames(h []byte) []byte {
	var table []byte
	for _, f := range featureNames() {
		line := make([]byte, featureNameSize)
		line[0], line[1] = f.kind, f.bit
		copy(line[2:], f.name)
		table = append(table, line...)
	}
	return appendExtension(h, extensionFeatureNames, table)
}

// appendExtension appends a header extension, padded to 8 bytes.
func appendExtension(h []byte, kind uint32, content []byte) []byte {
	h = binary.BigEndian.AppendUint32(h, kind)
	h = binary.BigEndian.AppendUint32(h, uint32(len(content)))
	h = append(h, content...)
	return append(h, make([]byte, -len(content)&7)...)
}
