package vmdk

import "encoding/binary"

// header is the header of a sparse extent.
type header struct {
	version      uint32
	flags        uint32
	capacity     uint64 // sectors
	grain        uint64 // sectors
	descriptorAt uint64 // sector
	descriptor   uint64 // sectors
	tableEntries uint32
	redundantAt  uint64 // sector of the redundant grain directory
	directoryAt  uint64 // sector of the grain directory
	overhead     uint64 // sectors before the first grain
	compression  uint16
}

// encode returns the header's sector.
func (h header) encode() []byte {
	le := binary.LittleEndian
	p := make([]byte, sectorSize)
	copy(p, headerMagic)
	le.PutUint32(p[4:], h.version)
	le.PutUint32(p[8:], h.flags)
	le.PutUint64(p[12:], h.capacity)
	le.PutUint64(p[20:], h.grain)
	le.PutUint64(p[28:], h.descriptorAt)
	le.PutUint64(p[36:], h.descriptor)
	le.PutUint32(p[44:], h.tableEntries)
	le.PutUint64(p[48:], h.redundantAt)
	le.PutUint64(p[56:], h.directoryAt)
	le.PutUint64(p[64:], h.overhead)
	// 72: whether the disk was not closed; 0 is no.
	copy(p[lineEndsAt:], lineEnds)
	le.PutUint16(p[77:], h.compression)
	return p
}

// decodeHeader decodes a header's sector. It checks nothing.
func decodeHeader(p []byte) header {
	le := binary.LittleEndian
	return header{
		version:      le.Uint32(p[4:]),
		flags:        le.Uint32(p[8:]),
		capacity:     le.Uint64(p[12:]),
		grain:        le.Uint64(p[20:]),
		descriptorAt: le.Uint64(p[28:]),
		descriptor:   le.Uint64(p[36:]),
		tableEntries: le.Uint32(p[44:]),
		redundantAt:  le.Uint64(p[48:]),
		directoryAt:  le.Uint64(p[56:]),
		overhead:     le.Uint64(p[64:]),
		compression:  le.Uint16(p[77:]),
	}
}
