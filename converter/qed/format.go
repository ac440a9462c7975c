package qed

import "encoding/binary"

// On-disk values, from "Header".
const (
	magic      = 0x00444551 // "QED" and 0
	headerSize = 64         // bytes
	sectorSize = 512
	entrySize  = 8 // bytes, in tables

	minCluster = 4 << 10 // bytes
	maxCluster = 64 << 20
	maxTable   = 16 // clusters

	// zeroCluster in the place of a data cluster is one of zeros.
	zeroCluster = 1
)

// Feature bits, which a reader must know.
const (
	featureBackingFile = 1 << 0
	featureNeedCheck   = 1 << 1
	featureNoProbe     = 1 << 2 // of the format of a backing file
)

// What is written: QEMU's defaults.
const (
	clusterSize  = 64 << 10
	tableSize    = 4 // clusters
	tableBytes   = tableSize * clusterSize
	tableEntries = tableBytes / entrySize
	maxDisk      = tableEntries * tableEntries * clusterSize // bytes: 64 TiB
)

// header is the header of a file.
type header struct {
	clusterSize uint32 // bytes
	tableSize   uint32 // clusters
	headerSize  uint32 // clusters
	features    uint64
	l1          uint64 // offset of the L1 table
	size        uint64 // of the disk in bytes
}

// encode returns the header's bytes. There is no backing file.
func (h header) encode() []byte {
	le := binary.LittleEndian
	p := make([]byte, headerSize)
	le.PutUint32(p[0:], magic)
	le.PutUint32(p[4:], h.clusterSize)
	le.PutUint32(p[8:], h.tableSize)
	le.PutUint32(p[12:], h.headerSize)
	le.PutUint64(p[16:], h.features)
	// 24, 32: compatible and autoclear features; there are none.
	le.PutUint64(p[40:], h.l1)
	le.PutUint64(p[48:], h.size)
	return p
}

// decodeHeader decodes a header. It checks nothing.
func decodeHeader(p []byte) header {
	le := binary.LittleEndian
	return header{
		clusterSize: le.Uint32(p[4:]),
		tableSize:   le.Uint32(p[8:]),
		headerSize:  le.Uint32(p[12:]),
		features:    le.Uint64(p[16:]),
		l1:          le.Uint64(p[40:]),
		size:        le.Uint64(p[48:]),
	}
}
