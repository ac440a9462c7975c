package scrub

import (
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

const (
	// maxSuspects bounds the blobs that wait to be verified because of an error. One
	// that finds no room is suspected again at its next error.
	maxSuspects = 1000
	// suspectAgain is how long a blob is not suspected again.
	suspectAgain = time.Minute
)

// suspects are blobs that could not be read, each once for a while.
type suspects struct {
	clock   clock
	waiting chan digest.Digest
	repair  chan struct{} // holds one where there is something new to repair

	mu     sync.Mutex
	recent map[digest.Digest]time.Time
}

func newSuspects(c clock) *suspects {
	return &suspects{clock: c, waiting: make(chan digest.Digest, maxSuspects), repair: make(chan struct{}, 1), recent: make(map[digest.Digest]time.Time)}
}

// Suspect has a blob verified soon, with all that it is read from: it could not be
// read. It does not block.
func (s *Scrubber) Suspect(d digest.Digest) { s.suspects.add(d) }

func (s *suspects) add(d digest.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	if at, ok := s.recent[d]; ok && now.Sub(at) < suspectAgain {
		return
	}
	if len(s.recent) >= maxSuspects {
		s.forget(now)
	}
	select {
	case s.waiting <- d:
		s.recent[d] = now
	default:
	}
}

// tellRepair has what is damaged repaired soon.
func (s *suspects) tellRepair() {
	select {
	case s.repair <- struct{}{}:
	default:
	}
}

// forget drops those that may be suspected again.
func (s *suspects) forget(now time.Time) {
	for d, at := range s.recent {
		if now.Sub(at) >= suspectAgain {
			delete(s.recent, d)
		}
	}
}
