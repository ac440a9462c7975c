package frame

// Set is a set of the frames of an index, in the form that messages have: one
// bit for each frame, the most significant of a byte first, padded to a byte.
type Set []byte

// NewSet returns a set of the frames of an index that has none of them.
func (x *Index) NewSet() Set { return make(Set, (x.Len()+7)/8) }

// Has reports whether frame i is in the set.
func (s Set) Has(i int) bool { return s[i/8]&(0x80>>(i%8)) != 0 }

// Add puts frame i in the set.
func (s Set) Add(i int) { s[i/8] |= 0x80 >> (i % 8) }
