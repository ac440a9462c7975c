package qcow2

import (
	"encoding/binary"

	"github.com/cloudlets/cloudlets/extent"
)

// tableWriter appends big-endian numbers to a map at ascending offsets. What is
// skipped becomes a zero extent, so that a sparse table costs little.
type tableWriter struct {
	b   *extent.Builder
	buf []byte // to be appended to b
}

const (
	// tableBuffer is how many bytes of a table are collected before they are
	// appended to the map.
	tableBuffer = 4096
	// minZeroExtent is the smallest gap in a table that becomes an extent of
	// its own. A shorter one takes less room inline.
	minZeroExtent = 64
)

// seek goes on at off, which must not lie before what was written.
func (w *tableWriter) seek(off int64) {
	gap := off - w.b.Size() - int64(len(w.buf))
	if gap < minZeroExtent {
		w.buf = append(w.buf, make([]byte, gap)...)
		return
	}
	w.flush()
	w.b.ZeroTo(off)
}

func (w *tableWriter) uint16(v uint16) { w.wrote(binary.BigEndian.AppendUint16(w.buf, v)) }
func (w *tableWriter) uint64(v uint64) { w.wrote(binary.BigEndian.AppendUint64(w.buf, v)) }

func (w *tableWriter) wrote(buf []byte) {
	w.buf = buf
	if len(buf) >= tableBuffer {
		w.flush()
	}
}

func (w *tableWriter) flush() {
	w.b.Inline(w.buf)
	w.buf = w.buf[:0]
}

// end pads the table with zeros up to off.
func (w *tableWriter) end(off int64) {
	w.flush()
	w.b.ZeroTo(off)
}

// writeRefcounts appends the refcount table and its blocks. Every cluster of
// the file is used once.
func (l *layout) writeRefcounts(b *extent.Builder) {
	w := tableWriter{b: b}
	for i := range l.refcountBlocks {
		w.uint64(uint64(l.refcountBlocksAt()+i) << l.clusterBits)
	}
	w.seek(l.refcountBlocksAt() << l.clusterBits)
	for range l.clusters() {
		w.uint16(1)
	}
	w.end(l.l1At() << l.clusterBits)
}

// writeL1 appends the L1 table: where the L2 tables stand.
func (l *layout) writeL1(b *extent.Builder) {
	w := tableWriter{b: b}
	for i, entry := range l.l2 {
		w.seek(l.l1At()<<l.clusterBits + entry*entrySize)
		w.uint64(flagCopied | uint64(l.l2At()+int64(i))<<l.clusterBits)
	}
	w.end(l.l2At() << l.clusterBits)
}

// writeL2 appends the L2 tables: where the data clusters stand. Those are in
// the order of the disk, so their positions only count up.
func (l *layout) writeL2(b *extent.Builder) {
	w := tableWriter{b: b}
	host, table := l.dataAt(), 0
	for _, run := range l.data {
		for cluster := run.first; cluster < run.first+run.count; cluster++ {
			if cluster/l.entriesPerL2() != l.l2[table] {
				table++
			}
			entry := cluster % l.entriesPerL2()
			w.seek((l.l2At()+int64(table))<<l.clusterBits + entry*entrySize)
			w.uint64(flagCopied | uint64(host)<<l.clusterBits)
			host++
		}
	}
	w.end(l.dataAt() << l.clusterBits)
}
