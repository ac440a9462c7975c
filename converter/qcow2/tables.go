package qcow2

import (
	"encoding/binary"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// writeRefcounts appends the refcount table and its blocks. Every cluster of
// the file is used once.
func (l *layout) writeRefcounts(b *extent.Builder) {
	w := container.NewTable(b, binary.BigEndian)
	for i := range l.refcountBlocks {
		w.Uint64(uint64(l.refcountBlocksAt()+i) << l.clusterBits)
	}
	w.SkipTo(l.refcountBlocksAt() << l.clusterBits)
	for range l.clusters() {
		w.Uint16(1)
	}
	w.Close(l.l1At() << l.clusterBits)
}

// writeL1 appends the L1 table: where the L2 tables stand.
func (l *layout) writeL1(b *extent.Builder) {
	w := container.NewTable(b, binary.BigEndian)
	for i, entry := range l.l2 {
		w.SkipTo(l.l1At()<<l.clusterBits + entry*entrySize)
		w.Uint64(flagCopied | uint64(l.l2At()+int64(i))<<l.clusterBits)
	}
	w.Close(l.l2At() << l.clusterBits)
}

// writeL2 appends the L2 tables: where the data clusters stand. Those are in
// the order of the disk, so their positions only count up.
func (l *layout) writeL2(b *extent.Builder) {
	w := container.NewTable(b, binary.BigEndian)
	host, table := l.dataAt(), 0
	for _, run := range l.data {
		for cluster := run.First; cluster < run.End(); cluster++ {
			if cluster/l.entriesPerL2() != l.l2[table] {
				table++
			}
			entry := cluster % l.entriesPerL2()
			w.SkipTo((l.l2At()+int64(table))<<l.clusterBits + entry*entrySize)
			w.Uint64(flagCopied | uint64(host)<<l.clusterBits)
			host++
		}
	}
	w.Close(l.dataAt() << l.clusterBits)
}
