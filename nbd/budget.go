package nbd

import "sync"

// budget is a number of bytes that are taken and given back, in turn: who asks
// for many is not passed by who asks for few.
type budget struct {
	mu      sync.Mutex
	free    int64
	waiting []*claim
}

type claim struct {
	n       int64
	granted chan struct{}
}

func newBudget(n int64) *budget { return &budget{free: n} }

// take waits until n bytes are free, which must not be more than there are, and
// takes them. It reports false when done is closed first.
func (b *budget) take(n int64, done <-chan struct{}) bool {
	b.mu.Lock()
	if len(b.waiting) == 0 && n <= b.free {
		b.free -= n
		b.mu.Unlock()
		return true
	}
	c := &claim{n, make(chan struct{})}
	b.waiting = append(b.waiting, c)
	b.mu.Unlock()
	select {
	case <-c.granted:
		return true
	case <-done:
		return false // the connection ends, and its budget with it
	}
}

// give gives n bytes back.
func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += n
	for len(b.waiting) > 0 && b.waiting[0].n <= b.free {
		b.free -= b.waiting[0].n
		close(b.waiting[0].granted)
		b.waiting = b.waiting[1:]
	}
}
