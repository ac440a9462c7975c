package lazy

import "sync"

const (
	// firstWindow is how much is fetched ahead of a read that continues another,
	// in bytes. It doubles with every further one.
	firstWindow = 128 << 10
	// maxSequences is how many sequential reads are followed at a time.
	maxSequences = 8
	// slack is how far behind the last read, and what was fetched ahead of it, the
	// next one of a sequence may begin, in bytes.
	slack = 64 << 10
)

// sequences finds reads that go on. It is safe for concurrent use.
type sequences struct {
	mu     sync.Mutex
	known  [maxSequences]sequence
	oldest int // of known
}

// sequence is a read that goes on.
type sequence struct {
	end    int64 // of the last read
	ahead  int64 // up to where content was fetched ahead
	window int64
}

// follow returns the range that is to be fetched ahead of a read: an empty one
// unless the read continues another, and gets near the end of what was fetched
// ahead of that. It has at most window bytes beyond the read, and ends where last
// says of the last byte that is read.
func (s *sequences) follow(off, n, window int64, last func(off int64) int64) (start, end int64) {
	if window == 0 {
		return 0, 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	read := off + n
	for i := range s.known {
		q := &s.known[i]
		if off < q.end || off > q.ahead+slack || q.end == 0 {
			continue
		}
		q.end = read
		if q.ahead = max(q.ahead, read); q.ahead-read > q.window/2 {
			return 0, 0
		}
		start, end = q.ahead, min(read+q.window, last(read-1))
		q.ahead, q.window = max(q.ahead, end), min(2*q.window, window)
		return start, max(start, end)
	}
	s.known[s.oldest] = sequence{end: read, ahead: read, window: min(firstWindow, window)}
	s.oldest = (s.oldest + 1) % maxSequences
	return 0, 0
}
