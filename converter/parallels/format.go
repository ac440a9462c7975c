package parallels

import "encoding/binary"

// On-disk values, from "Header".
const (
	// magicSectors begins files whose block allocation table counts in sectors,
	// magicClusters those where it counts in clusters.
	magicSectors  = "WithoutFreeSpace"
	magicClusters = "WithouFreSpacExt"

	version    = 2
	headerSize = 64 // bytes
	sectorSize = 512
	entrySize  = 4 // bytes, in the block allocation table

	inUse  = 0x746f6e59
	closed = 0x312e3276

	flagEmpty = 1 << 0 // the disk is zeros

	maxCluster = 1 << 21 // sectors that are read as one; 1 GiB
	maxSectors = 1 << 50 // of a disk that is read; sums stay within an int64
)

// What is written: QEMU's defaults.
const (
	clusterSectors = 2048
	clusterSize    = clusterSectors * sectorSize
	maxEntries     = (1<<31 - 1) / entrySize // QEMU opens no larger table
	maxDisk        = maxEntries * clusterSize

	heads           = 16
	cylinderSectors = 32 // for each head
)

// header is the header of a file.
type header struct {
	magic     string
	version   uint32
	cylinders uint32
	cluster   uint32 // sectors
	entries   uint32 // of the block allocation table
	sectors   uint64 // of the disk
	inUse     uint32
	dataAt    uint32 // sector; 0 is right behind the table
	flags     uint32
	extension uint64 // sector of the format extension; 0 is none
}

// encode returns the header's bytes.
func (h header) encode() []byte {
	le := binary.LittleEndian
	p := make([]byte, headerSize)
	copy(p, h.magic)
	le.PutUint32(p[16:], h.version)
	le.PutUint32(p[20:], heads)
	le.PutUint32(p[24:], h.cylinders)
	le.PutUint32(p[28:], h.cluster)
	le.PutUint32(p[32:], h.entries)
	le.PutUint64(p[36:], h.sectors)
	le.PutUint32(p[44:], h.inUse)
	le.PutUint32(p[48:], h.dataAt)
	le.PutUint32(p[52:], h.flags)
	le.PutUint64(p[56:], h.extension)
	return p
}

// decodeHeader decodes a header. It checks nothing.
func decodeHeader(p []byte) header {
	le := binary.LittleEndian
	return header{
		magic:     string(p[:len(magicSectors)]),
		version:   le.Uint32(p[16:]),
		cylinders: le.Uint32(p[24:]),
		cluster:   le.Uint32(p[28:]),
		entries:   le.Uint32(p[32:]),
		sectors:   le.Uint64(p[36:]),
		inUse:     le.Uint32(p[44:]),
		dataAt:    le.Uint32(p[48:]),
		flags:     le.Uint32(p[52:]),
		extension: le.Uint64(p[56:]),
	}
}
