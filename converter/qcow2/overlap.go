package qcow2

import (
	"cmp"
	"fmt"
	"slices"
)

// hostRange is a part of the file that is used for something.
type hostRange struct {
	what       string
	start, end int64 // bytes
	exclusive  bool  // nothing else may use it
}

// hostRanges returns where in the file the clusters of the disk stand.
func hostRanges(runs []guestRun) []hostRange {
	ranges := make([]hostRange, len(runs))
	for i, run := range runs {
		ranges[i] = hostRange{what: "data cluster", start: run.host, end: run.host + run.bytes, exclusive: run.copied}
	}
	return ranges
}

// checkOverlaps refuses a file in which one place is used for two things: data
// would show up in tables or the other way round. Only data clusters that are
// both marked as shared may be one. The ranges are sorted in place.
func checkOverlaps(ranges []hostRange) error {
	slices.SortFunc(ranges, func(a, b hostRange) int { return cmp.Compare(a.start, b.start) })
	var last, exclusive hostRange // of those seen, the ones that end last
	for _, r := range ranges {
		before := exclusive
		if r.exclusive {
			before = last
		}
		if r.start < before.end {
			return fmt.Errorf("%w: the %s at %d overlaps the %s at %d", ErrFormat, r.what, r.start, before.what, before.start)
		}
		if r.end > last.end {
			last = r
		}
		if r.exclusive && r.end > exclusive.end {
			exclusive = r
		}
	}
	return nil
}
