package lazy

import "sync/atomic"

// bitset is a set of frames that is read and changed by many at once.
type bitset []atomic.Uint32

func newBitset(n int) bitset { return make(bitset, (n+31)/32) }

func (b bitset) has(i int) bool { return b[i/32].Load()&(1<<(i%32)) != 0 }

// add puts i in the set and reports whether it was not there.
func (b bitset) add(i int) bool {
	if b.has(i) { // the usual case does not write
		return false
	}
	return b[i/32].Or(1<<(i%32))&(1<<(i%32)) == 0
}

func (b bitset) remove(i int) { b[i/32].And(^uint32(1 << (i % 32))) }
