package qcow

import "encoding/binary"

// On-disk values, from QCowHeader of block/qcow.c.
const (
	magic      = 0x514649fb // "QFI" and 0xfb, as in later versions
	version    = 1
	headerSize = 48 // bytes
	sectorSize = 512
	entrySize  = 8 // bytes, in tables

	minClusterBits = 9  // 512 bytes
	maxClusterBits = 16 // 64 KiB
	minL2Bits      = minClusterBits - 3
	maxL2Bits      = maxClusterBits - 3
	maxL1Entries   = (1<<31 - 1) / entrySize // QEMU opens no more

	cryptNone = 0
	cryptAES  = 1

	// flagCompressed in an L2 entry says that the cluster is compressed with
	// DEFLATE (RFC 1951). Then the bits below it are the length in bytes, as many
	// as cluster_bits, and the offset.
	flagCompressed = 1 << 63
)

// What is written: QEMU's defaults.
const (
	clusterBits = 12
	clusterSize = 1 << clusterBits
	l2Bits      = 9
	l2Entries   = 1 << l2Bits
	maxDisk     = maxL1Entries * l2Entries * clusterSize // bytes: 512 TiB
)

// header is the header of a file.
type header struct {
	magic, version uint32
	backing        uint64 // offset of the backing file's name; 0 is none
	size           uint64 // of the disk in bytes
	clusterBits    uint8
	l2Bits         uint8 // of the number of entries in an L2 table
	crypt          uint32
	l1             uint64 // offset of the L1 table
}

// encode returns the header's bytes.
func (h header) encode() []byte {
	be := binary.BigEndian
	p := make([]byte, headerSize)
	be.PutUint32(p[0:], h.magic)
	be.PutUint32(p[4:], h.version)
	be.PutUint64(p[8:], h.backing)
	// 16: length of the backing file's name, 20: its time of modification.
	be.PutUint64(p[24:], h.size)
	p[32], p[33] = h.clusterBits, h.l2Bits
	be.PutUint32(p[36:], h.crypt)
	be.PutUint64(p[40:], h.l1)
	return p
}

// decodeHeader decodes a header. It checks nothing.
func decodeHeader(p []byte) header {
	be := binary.BigEndian
	return header{
		magic:       be.Uint32(p[0:]),
		version:     be.Uint32(p[4:]),
		backing:     be.Uint64(p[8:]),
		size:        be.Uint64(p[24:]),
		clusterBits: p[32],
		l2Bits:      p[33],
		crypt:       be.Uint32(p[36:]),
		l1:          be.Uint64(p[40:]),
	}
}
