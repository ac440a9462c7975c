package nbd

import "sync"

// budget is a number of bytes that are taken and given back, in turn: who asks
// for many is not passed by who asks for few.
type budget struct {
	mu      sync.Mutex
	total   int64
	free    int64
	waiting []*claim
}

type claim struct {
	n       int64
	granted chan struct{}
}

func newBudget(n int64) *budget { return &budget{total: n, free: n} }

// take waits until n bytes are free, and takes them; who asks for more than there
// are takes all. It reports false when done is closed first.
func (b *budget) take(n int64, done <-chan struct{}) bool {
	n = min(n, b.total)
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

// give gives back what was taken for n bytes.
func (b *budget) give(n int64) {
	n = min(n, b.total)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += n
	for len(b.waiting) > 0 && b.waiting[0].n <= b.free {
		b.free -= b.waiting[0].n
		close(b.waiting[0].granted)
		b.waiting = b.waiting[1:]
	}
}
