package extent

import (
	"bytes"
	"fmt"
)

// Digest names a blob, in the OCI form "algorithm:hex". This package compares
// digests and hands them to an [Opener]; it never looks inside them.
type Digest string

// Kind says what an extent is made of.
type Kind uint8

// The three kinds of extent. The zero Extent is an empty run of zeros.
const (
	Zero   Kind = iota // a run of zero bytes
	Inline             // bytes carried in the map
	Source             // a range of a blob
)

// String returns the word used for k in messages.
func (k Kind) String() string {
	switch k {
	case Zero:
		return "zero"
	case Inline:
		return "inline"
	case Source:
		return "source"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Extent is one run of bytes of a map.
type Extent struct {
	Kind   Kind
	Length int64 // in bytes, never negative

	Data   []byte // Inline: the bytes, Length of them; read-only
	Digest Digest // Source: the blob
	Offset int64  // Source: where in the blob's content the run starts
}

// Equal reports whether two extents are the same bytes of the same blob, or the
// same bytes inline.
func (e Extent) Equal(other Extent) bool {
	return e.Kind == other.Kind && e.Length == other.Length && e.Digest == other.Digest && e.Offset == other.Offset && bytes.Equal(e.Data, other.Data)
}

// Slice returns the n bytes of e that start at off. Both must lie within e.
func (e Extent) Slice(off, n int64) Extent {
	switch e.Kind {
	case Inline:
		e.Data = e.Data[off : off+n : off+n]
	case Source:
		e.Offset += off
	}
	e.Length = n
	return e
}
