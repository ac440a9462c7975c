package extent

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrRange is wrapped by errors about lengths and offsets that are negative,
// overflow, or lie outside the map they refer to.
var ErrRange = errors.New("out of range")

// Builder makes a [Map] by appending extents. The zero Builder is an empty map.
//
// Runs that continue the one before them are joined, so appending in small
// pieces costs nothing in the result. The first mistake is kept and returned by
// Build; what is appended after it is ignored.
type Builder struct {
	m     Map
	index map[Digest]uint32 // digest → run.blob
	err   error
}

// Size returns the number of bytes appended so far.
func (b *Builder) Size() int64 { return b.m.size }

// Grow makes room for about so many more extents and inline bytes, so that
// appending them does not copy the map over and over. It changes nothing else.
func (b *Builder) Grow(extents, inline int) {
	b.m.starts = slices.Grow(b.m.starts, extents)
	b.m.runs = slices.Grow(b.m.runs, extents)
	b.m.inline = slices.Grow(b.m.inline, inline)
}

// Zero appends n zero bytes.
func (b *Builder) Zero(n int64) { b.add(n, run{blob: blobZero}) }

// ZeroTo appends zeros until the map is off bytes long.
func (b *Builder) ZeroTo(off int64) {
	if off < b.m.size {
		b.failf("pad to %d: the map is %d bytes long already", off, b.m.size)
		return
	}
	b.Zero(off - b.m.size)
}

// Inline appends a copy of p.
func (b *Builder) Inline(p []byte) {
	off := int64(len(b.m.inline))
	if b.add(int64(len(p)), run{off: off, blob: blobInline}) {
		b.m.inline = append(b.m.inline, p...)
	}
}

// Source appends the n bytes at off of the content of the blob named d.
func (b *Builder) Source(d Digest, off, n int64) {
	if off < 0 || off > math.MaxInt64-max(n, 0) {
		b.failf("source %s: offset %d with length %d", d, off, n)
		return
	}
	if d == "" {
		b.failf("source without a digest")
		return
	}
	if n == 0 {
		return
	}
	b.add(n, run{off: off, blob: b.blob(d)})
}

// Extent appends e.
func (b *Builder) Extent(e Extent) {
	switch e.Kind {
	case Zero:
		b.Zero(e.Length)
	case Inline:
		if int64(len(e.Data)) != e.Length {
			b.failf("inline extent of length %d with %d bytes", e.Length, len(e.Data))
			return
		}
		b.Inline(e.Data)
	case Source:
		b.Source(e.Digest, e.Offset, e.Length)
	default:
		b.failf("extent of unknown %s", e.Kind)
	}
}

// Map appends the whole of m.
func (b *Builder) Map(m *Map) {
	b.Grow(m.Len(), len(m.inline))
	b.Slice(m, 0, m.size)
}

// Slice appends the n bytes of m that start at off.
func (b *Builder) Slice(m *Map, off, n int64) {
	if off < 0 || n < 0 || off > m.size || n > m.size-off {
		b.failf("slice at %d, length %d, of a map of %d bytes", off, n, m.size)
		return
	}
	for _, e := range m.Range(off, n) {
		b.Extent(e)
	}
}

// Build returns the map, or the first mistake made while appending. The Builder
// is empty afterwards.
func (b *Builder) Build() (*Map, error) {
	m, err := b.m, b.err
	*b = Builder{}
	if err != nil {
		return nil, err
	}
	return &m, nil
}

// add appends a run of n bytes and says whether it did.
func (b *Builder) add(n int64, r run) bool {
	switch {
	case b.err != nil || n == 0:
		return false
	case n < 0:
		b.failf("length %d", n)
		return false
	case n > math.MaxInt64-b.m.size:
		b.failf("length %d after %d bytes", n, b.m.size)
		return false
	}
	if !b.continues(r) {
		b.m.starts = append(b.m.starts, b.m.size)
		b.m.runs = append(b.m.runs, r)
	}
	b.m.size += n
	return true
}

// continues reports whether r carries on where the last run ends.
func (b *Builder) continues(r run) bool {
	last := len(b.m.runs) - 1
	if last < 0 || b.m.runs[last].blob != r.blob {
		return false
	}
	return r.blob == blobZero || b.m.runs[last].off+b.m.size-b.m.starts[last] == r.off
}

func (b *Builder) blob(d Digest) uint32 {
	if id, ok := b.index[d]; ok {
		return id
	}
	if b.index == nil {
		b.index = make(map[Digest]uint32)
	}
	id := firstBlob + uint32(len(b.m.digests))
	b.m.digests = append(b.m.digests, d)
	b.index[d] = id
	return id
}

func (b *Builder) failf(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf("extent map: "+format+": %w", append(args, ErrRange)...)
	}
}
