package extent

import (
	"iter"
	"sort"
)

// Map is an immutable, ordered list of extents that covers [0, Size()) without
// gaps. The zero Map is empty and ready to use.
//
// It is kept as parallel arrays — 24 bytes an extent — so that a map of a
// million extents stays small and a lookup touches few cache lines.
type Map struct {
	size    int64
	starts  []int64  // where each extent begins, ascending
	runs    []run    // what each extent is
	inline  []byte   // the bytes of all inline extents
	digests []Digest // the blobs that source extents name, each once
}

// run is an extent without its position: which blob, and where in it. blob is
// one of the constants below, or firstBlob plus an index into Map.digests.
type run struct {
	off  int64 // in the blob, or in Map.inline
	blob uint32
}

const (
	blobZero   uint32 = iota // a run of zeros; off is 0
	blobInline               // off is an index into Map.inline
	firstBlob                // off is an offset in digests[blob-firstBlob]
)

// Size returns the length of the content in bytes.
func (m *Map) Size() int64 { return m.size }

// Len returns the number of extents.
func (m *Map) Len() int { return len(m.runs) }

// Digests returns the blobs the map reads from, each once, in order of first
// appearance. The caller must not change the slice.
func (m *Map) Digests() []Digest { return m.digests }

// InlineSize returns how many bytes the map carries itself.
func (m *Map) InlineSize() int64 { return int64(len(m.inline)) }

// Memory returns about how many bytes the map occupies.
func (m *Map) Memory() int64 {
	const perExtent, perDigest = 24, 96
	return int64(len(m.runs))*perExtent + int64(len(m.digests))*perDigest + int64(len(m.inline))
}

// At returns extent i and the offset at which it starts. It panics unless
// 0 <= i < Len().
func (m *Map) At(i int) (start int64, e Extent) {
	start = m.starts[i]
	r := m.runs[i]
	e.Length = m.end(i) - start
	switch r.blob {
	case blobZero:
	case blobInline:
		e.Kind = Inline
		e.Data = m.inline[r.off : r.off+e.Length : r.off+e.Length]
	default:
		e.Kind = Source
		e.Digest = m.digests[r.blob-firstBlob]
		e.Offset = r.off
	}
	return start, e
}

func (m *Map) end(i int) int64 {
	if i+1 < len(m.starts) {
		return m.starts[i+1]
	}
	return m.size
}

// Find returns the index of the extent that holds the byte at off, or Len() if
// off is outside [0, Size()).
func (m *Map) Find(off int64) int {
	if off < 0 || off >= m.size {
		return len(m.starts)
	}
	return sort.Search(len(m.starts), func(i int) bool { return m.starts[i] > off }) - 1
}

// All returns every extent with the offset at which it starts, in order.
func (m *Map) All() iter.Seq2[int64, Extent] { return m.Range(0, m.size) }

// Range returns the extents of [off, off+n), the first and last cut to fit,
// with their offsets in m. What lies outside the map is left out.
func (m *Map) Range(off, n int64) iter.Seq2[int64, Extent] {
	return func(yield func(int64, Extent) bool) {
		if n <= 0 || off >= m.size {
			return
		}
		off = max(off, 0)
		end := m.size
		if n < m.size-off {
			end = off + n
		}
		for i := m.Find(off); i < len(m.runs) && m.starts[i] < end; i++ {
			start, e := m.At(i)
			from, to := max(start, off), min(start+e.Length, end)
			if from > start || to < start+e.Length {
				e = e.Slice(from-start, to-from)
			}
			if !yield(from, e) {
				return
			}
		}
	}
}

// NextData returns the first run of bytes at or after off that are not a zero
// extent, so that sparse consumers can skip holes as SEEK_DATA and SEEK_HOLE
// do. Neighbouring data extents are returned as one run. ok is false when only
// zeros are left.
func (m *Map) NextData(off int64) (start, end int64, ok bool) {
	i := m.Find(max(off, 0))
	for i < len(m.runs) && m.runs[i].blob == blobZero {
		i++
	}
	if i == len(m.runs) {
		return 0, 0, false
	}
	start = max(m.starts[i], off)
	for i < len(m.runs) && m.runs[i].blob != blobZero {
		i++
	}
	if i == len(m.runs) {
		return start, m.size, true
	}
	return start, m.starts[i], true
}

// DataSize returns how many bytes are not zero extents.
func (m *Map) DataSize() int64 {
	n := m.size
	for i, r := range m.runs {
		if r.blob == blobZero {
			n -= m.end(i) - m.starts[i]
		}
	}
	return n
}

// Slice returns the map of the n bytes of m that start at off.
func Slice(m *Map, off, n int64) (*Map, error) {
	var b Builder
	b.Slice(m, off, n)
	return b.Build()
}

// Concat returns the map of the contents of all maps, one after another.
func Concat(maps ...*Map) (*Map, error) {
	var b Builder
	for _, m := range maps {
		b.Map(m)
	}
	return b.Build()
}

// Overlay returns base with the bytes at off replaced by the whole of top. The
// result is as long as base, or as off plus top's size where that is more; a
// gap between base and top reads as zeros.
func Overlay(base *Map, off int64, top *Map) (*Map, error) {
	var b Builder
	head := min(off, base.size)
	b.Slice(base, 0, head)
	b.Zero(off - head)
	b.Map(top)
	if rest := off + top.size; rest < base.size {
		b.Slice(base, rest, base.size-rest)
	}
	return b.Build()
}
