package nbd

import (
	"iter"

	"github.com/cloudlets/cloudlets/extent"
)

// segment is a run of a disk that is a hole or is not.
type segment struct {
	off, n int64
	hole   bool
}

// segments cuts [off, off+n) of a map, which lies within it, into holes and all
// else. A hole is a run of whole blocks of [preferredBlock] bytes that are zero
// extents; shorter runs, such as the ends of files, are content. Neighbours
// differ.
func segments(m *extent.Map, off, n int64) iter.Seq[segment] {
	return func(yield func(segment) bool) {
		for end := off + n; off < end; {
			start, stop := nextHole(m, off, end)
			if off < start && !yield(segment{off: off, n: start - off}) {
				return
			}
			if start < stop && !yield(segment{off: start, n: stop - start, hole: true}) {
				return
			}
			off = stop
		}
	}
}

// isData reports whether no part of [off, off+n) of a map is a hole.
func isData(m *extent.Map, off, n int64) bool {
	start, _ := nextHole(m, off, off+n)
	return start == off+n
}

// nextHole returns the first part of a hole in [off, end), or the empty one at
// end.
func nextHole(m *extent.Map, off, end int64) (start, stop int64) {
	for i := m.Find(off); i < m.Len(); i++ {
		at, e := m.At(i)
		if at >= end {
			break
		}
		if e.Kind != extent.Zero {
			continue
		}
		start, stop = holeOf(at, at+e.Length, m.Size())
		start, stop = max(start, off), min(stop, end)
		if start < stop {
			return start, stop
		}
	}
	return end, end
}

// holeOf returns the whole blocks of the zeros in [start, end). The last block
// of a disk may be a short one.
func holeOf(start, end, size int64) (first, last int64) {
	first = (start + preferredBlock - 1) &^ (preferredBlock - 1)
	last = end &^ (preferredBlock - 1)
	if end == size {
		last = end
	}
	return first, last
}
