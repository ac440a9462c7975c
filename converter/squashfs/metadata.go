package squashfs

import "encoding/binary"

// metadata is a table that is written as blocks of metadata.
type metadata struct {
	blocks []byte  // those that are full, each with its header
	starts []int64 // where each of them starts
	rest   []byte  // of the block that is not full yet
}

// position returns where the next byte will be.
func (m *metadata) position() reference {
	return newReference(int64(len(m.blocks)), len(m.rest))
}

// write appends p, which may go on in further blocks.
func (m *metadata) write(p []byte) {
	for len(p) > 0 {
		n := min(len(p), metadataSize-len(m.rest))
		m.rest = append(m.rest, p[:n]...)
		p = p[n:]
		if len(m.rest) == metadataSize {
			m.flush()
		}
	}
}

// flush ends the block under way.
func (m *metadata) flush() {
	if len(m.rest) == 0 {
		return
	}
	m.starts = append(m.starts, int64(len(m.blocks)))
	m.blocks = binary.LittleEndian.AppendUint16(m.blocks, uint16(len(m.rest))|metadataStored)
	m.blocks = append(m.blocks, m.rest...)
	m.rest = m.rest[:0]
}

// finish ends the table and returns it.
func (m *metadata) finish() []byte {
	m.flush()
	return m.blocks
}

// finishIndexed returns the table as it stands at a place in the file, with the
// list of its blocks after it, and where that list is. Readers of such tables
// look for the list and find the blocks with it.
func (m *metadata) finishIndexed(at int64) (table []byte, list int64) {
	table = m.finish()
	list = at + int64(len(table))
	for _, start := range m.starts {
		table = binary.LittleEndian.AppendUint64(table, uint64(at+start))
	}
	return table, list
}
