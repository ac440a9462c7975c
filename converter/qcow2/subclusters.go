package qcow2

import (
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
)

// Extended L2 entries: a cluster has 32 subclusters, each of which the file has,
// or reads as zeros, or leaves to the parent ("Extended L2 Entries").
const (
	subclusters            = 32
	extendedEntrySize      = 16 // bytes: what a plain entry is, then the bitmap
	minExtendedClusterBits = 14
)

// l2EntrySize returns how many bytes an L2 entry has.
func (r *reader) l2EntrySize() int64 {
	if r.extended {
		return extendedEntrySize
	}
	return entrySize
}

// appendSubclusters appends what the file has of the cluster at guest, whose L2
// entry has a bitmap: in its low half the subclusters that are allocated, from the
// lowest bit on, and in its high half those that read as zeros.
func (r *reader) appendSubclusters(runs []guestRun, guest int64, entry, bitmap uint64) ([]guestRun, error) {
	if entry&flagCompressed == 0 && entry&flagZero != 0 {
		return nil, fmt.Errorf("%w: extended L2 entry %#016x has reserved bits set", container.ErrFormat, entry)
	}
	cluster, _, err := r.cluster(entry)
	if err != nil {
		return nil, err
	}
	if cluster.packed > 0 {
		if bitmap != 0 {
			return nil, fmt.Errorf("%w: a compressed cluster with the bitmap %#016x, want none", container.ErrFormat, bitmap)
		}
		cluster.guest = guest
		return appendRun(runs, cluster), nil
	}
	allocated, zero := uint32(bitmap), uint32(bitmap>>subclusters)
	if allocated&zero != 0 || allocated != 0 && cluster.host == 0 {
		return nil, fmt.Errorf("%w: L2 entry %#016x with the bitmap %#016x: subclusters are nowhere, or data and zeros at once",
			container.ErrFormat, entry, bitmap)
	}
	size := r.clusterSize / subclusters
	for i := range int64(subclusters) {
		run := guestRun{guest: guest + i*size, bytes: size, copied: cluster.copied}
		switch {
		case run.guest >= r.virtualSize:
			return runs, nil
		case allocated>>i&1 != 0:
			run.host = cluster.host + i*size
		case zero>>i&1 != 0 && r.parent != nil:
			run.zero = true
		default:
			continue
		}
		runs = appendRun(runs, run)
	}
	return runs, nil
}
