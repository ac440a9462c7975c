package squashfs

import (
	"encoding/binary"

	"github.com/cloudlets/cloudlets/converter/container"
)

// metadata is a table that is written as blocks of metadata.
type metadata struct {
	blocks []byte  // those that are full, each with its header
	starts []int64 // where each of them starts
	rest   []byte  // of the block that is not full yet

	compress container.Compress // nil where blocks are stored
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
	block, header := m.rest, uint16(len(m.rest))|metadataStored
	if m.compress != nil {
		// One that cannot be compressed is stored, like one that does not become
		// shorter.
		if form, err := m.compress(nil, m.rest); err == nil && len(form) < len(m.rest) {
			block, header = form, uint16(len(form))
		}
	}
	m.blocks = binary.LittleEndian.AppendUint16(m.blocks, header)
	m.blocks = append(m.blocks, block...)
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
