package container

import (
	"encoding/binary"

	"github.com/cloudlets/cloudlets/extent"
)

// Table appends numbers to a map at ascending offsets. What is skipped becomes
// a zero extent, so that a sparse table costs little. [Table.Close] ends it.
type Table struct {
	b     *extent.Builder
	order binary.AppendByteOrder
	buf   []byte // to be appended to b
}

const (
	// tableBuffer is how many bytes of a table are collected before they are
	// appended to the map.
	tableBuffer = 4096
	// minZeroExtent is the smallest gap in a table that becomes an extent of
	// its own. A shorter one takes less room inline.
	minZeroExtent = 64
)

// NewTable returns a table that begins where b ends.
func NewTable(b *extent.Builder, order binary.AppendByteOrder) *Table {
	return &Table{b: b, order: order}
}

// SkipTo goes on at off, which must not lie before what was written.
func (t *Table) SkipTo(off int64) {
	gap := off - t.b.Size() - int64(len(t.buf))
	if 0 <= gap && gap < minZeroExtent {
		t.buf = append(t.buf, make([]byte, gap)...)
		return
	}
	t.flush()
	t.b.ZeroTo(off)
}

// Uint16 appends a number.
func (t *Table) Uint16(v uint16) { t.wrote(t.order.AppendUint16(t.buf, v)) }

// Uint32 appends a number.
func (t *Table) Uint32(v uint32) { t.wrote(t.order.AppendUint32(t.buf, v)) }

// Uint64 appends a number.
func (t *Table) Uint64(v uint64) { t.wrote(t.order.AppendUint64(t.buf, v)) }

func (t *Table) wrote(buf []byte) {
	t.buf = buf
	if len(buf) >= tableBuffer {
		t.flush()
	}
}

func (t *Table) flush() {
	t.b.Inline(t.buf)
	t.buf = t.buf[:0]
}

// Close pads the table with zeros up to off.
func (t *Table) Close(off int64) {
	t.flush()
	t.b.ZeroTo(off)
}
