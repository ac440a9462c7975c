package nbd

import (
	"math/bits"
	"sync"
)

// maxKept is the largest buffer that is kept, in bytes. The rare larger ones are
// made to measure.
const maxKept = 2 * maxPiece

// buffers are buffers to use again, by the power of two that they have room for.
type buffers struct {
	pools [bits.UintSize]sync.Pool
}

// get returns a buffer with room for n bytes.
func (b *buffers) get(n int) *[]byte {
	if n > maxKept {
		p := make([]byte, 0, n)
		return &p
	}
	class := bits.Len(uint(max(n, 1) - 1))
	if p, ok := b.pools[class].Get().(*[]byte); ok {
		return p
	}
	p := make([]byte, 0, 1<<class)
	return &p
}

// put gives a buffer back.
func (b *buffers) put(p *[]byte) {
	if cap(*p) <= maxKept {
		b.pools[bits.Len(uint(cap(*p)-1))].Put(p)
	}
}
