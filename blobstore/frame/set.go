package frame

import (
	"bytes"
	"iter"
)

// Set is a set of the frames of an index, in the form that messages have: one
// bit for each frame, the most significant of a byte first, padded to a byte.
type Set []byte

// NewSet returns a set of the frames of an index that has none of them.
func (x *Index) NewSet() Set { return make(Set, (x.Len()+7)/8) }

// Has reports whether frame i is in the set.
func (s Set) Has(i int) bool { return s[i/8]&(0x80>>(i%8)) != 0 }

// Add puts frame i in the set.
func (s Set) Add(i int) { s[i/8] |= 0x80 >> (i % 8) }

// Remove takes frame i out of the set.
func (s Set) Remove(i int) { s[i/8] &^= 0x80 >> (i % 8) }

// Empty reports whether the set has no frames.
func (s Set) Empty() bool { return len(bytes.Trim(s, "\x00")) == 0 }

// All returns the frames of the set, in order.
func (s Set) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, bits := range s {
			for bit := 0; bits != 0; bit, bits = bit+1, bits<<1 {
				if bits&0x80 != 0 && !yield(8*i+bit) {
					return
				}
			}
		}
	}
}
