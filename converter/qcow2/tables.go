package qcow2

import (
	"encoding/binary"
	"iter"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// writeRefcounts appends the refcount table and its blocks. Every cluster of
// the file is used once, but for those that hold compressed ones.
func (l *layout) writeRefcounts(b *extent.Builder) {
	w := container.NewTable(b, binary.BigEndian)
	for i := range l.refcountBlocks {
		w.Uint64(uint64(l.refcountBlocksAt()+i) << l.clusterBits)
	}
	w.SkipTo(l.refcountBlocksAt() << l.clusterBits)
	counts := l.packedRefcounts()
	for cluster := range l.clusters() {
		count := uint16(1)
		if n := cluster - l.packedAt(); 0 <= n && n < l.packedClusters {
			count = counts[n]
		}
		w.Uint16(count)
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

// writeL2 appends the L2 tables: where the clusters of the disk stand.
func (l *layout) writeL2(b *extent.Builder) {
	w := container.NewTable(b, binary.BigEndian)
	table := 0
	for cluster, entry := range l.entries() {
		if cluster/l.entriesPerL2() != l.l2[table] {
			table++
		}
		w.SkipTo((l.l2At()+int64(table))<<l.clusterBits + cluster%l.entriesPerL2()*entrySize)
		w.Uint64(entry)
	}
	w.Close(l.packedAt() << l.clusterBits)
}

// entries yields the clusters of the disk that the file has, in their order, with
// their L2 entries. Those that are not compressed follow each other in the file
// in the order of the disk.
func (l *layout) entries() iter.Seq2[int64, uint64] {
	host := l.dataAt()
	plain := func() uint64 {
		host++
		return flagCopied | uint64(host-1)<<l.clusterBits
	}
	return func(yield func(int64, uint64) bool) {
		if l.packed != nil {
			l.packedEntries(plain, yield)
			return
		}
		zero := l.zero
		for _, run := range l.plain {
			for len(zero) > 0 && zero[0].First < run.First {
				if !yieldZeros(zero[0], yield) {
					return
				}
				zero = zero[1:]
			}
			for cluster := run.First; cluster < run.End(); cluster++ {
				if !yield(cluster, plain()) {
					return
				}
			}
		}
		for _, run := range zero {
			if !yieldZeros(run, yield) {
				return
			}
		}
	}
}

// yieldZeros yields clusters that are zero, whatever the parent has there.
func yieldZeros(run container.Run, yield func(int64, uint64) bool) bool {
	for cluster := run.First; cluster < run.End(); cluster++ {
		if !yield(cluster, flagZero) {
			return false
		}
	}
	return true
}
