package lazy

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cloudlets/cloudlets/blobstore/frame"
)

const (
	// maxRequests is how many requests for content that reads wait for are under
	// way at a time.
	maxRequests = 4
	// maxBatch is about how much one of them asks for, in bytes as stored.
	maxBatch = 2 << 20

	// maxAhead and aheadBatch are the same for content that nobody waits for. Two
	// requests keep a line busy; small ones keep it free for reads.
	maxAhead   = 2
	aheadBatch = 512 << 10
)

// priority says what is fetched first of what nobody waits for.
type priority int

const (
	prioritySequence priority = iota // follows what is being read
	priorityTrace                    // was read in an earlier boot
	priorityPlan                     // the rest; not while a read waits
	priorities
)

// errStopped ends waiting when the cache is closed.
var errStopped = errors.New("the cache is closed")

// scheduler decides what is fetched when.
type scheduler struct {
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	wanted []want             // frames that reads wait for, to be asked for
	ahead  [priorities][]want // and that nobody waits for
	active int                // requests under way for wanted
	early  int                // and for ahead
	stats  Stats
}

// Stats is what was fetched.
type Stats struct {
	Requests int64 `json:"requests"`
	Bytes    int64 `json:"bytes"`     // of frames as stored, and of indexes
	Ahead    int64 `json:"readAhead"` // bytes of these that no read waited for when they were asked for
}

// flight is a frame on its way.
type flight struct {
	done chan struct{}
	err  error // once done
}

func newScheduler() *scheduler {
	s := new(scheduler)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// stop ends fetching.
func (s *scheduler) stop() {
	s.cancel()
	s.running.Wait()
}

// wait waits until frames are held that were missing, and has them fetched. What
// follows them is fetched with them, and not waited for.
func (s *scheduler) wait(ctx context.Context, wants, following []want) error {
	flights := make([]*flight, 0, len(wants))
	s.mu.Lock()
	for _, w := range wants {
		if f := s.order(w); f != nil {
			flights = append(flights, f)
		}
	}
	for _, w := range following {
		s.order(w)
	}
	s.dispatch()
	s.mu.Unlock()
	for _, f := range flights {
		select {
		case <-f.done:
			if f.err != nil {
				return f.err
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ctx.Done():
			return errStopped
		}
	}
	return nil
}

// order has a frame fetched and returns its flight, or nil where it has landed
// since it was missing.
func (s *scheduler) order(w want) *flight {
	if f := w.layer.flights[w.frame]; f != nil || w.layer.held.has(w.frame) {
		return f
	}
	s.wanted = append(s.wanted, w)
	return w.board()
}

// board notes that a frame is on its way.
func (w want) board() *flight {
	f := &flight{done: make(chan struct{})}
	w.layer.flights[w.frame] = f
	return f
}

// prefetch has frames fetched that nobody waits for, in order.
func (s *scheduler) prefetch(p priority, wants []want) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead[p] = append(s.ahead[p], wants...)
	s.dispatch()
}

// dispatch starts the requests that may be made now. Reads come first; content
// for nobody yet is asked for when they have all been asked for.
func (s *scheduler) dispatch() {
	for s.active < maxRequests && len(s.wanted) > 0 && s.ctx.Err() == nil {
		batch := take(&s.wanted, maxBatch, func(want) bool { return true })
		s.active++
		s.start(batch, &s.active, false)
	}
	if len(s.wanted) > 0 {
		return
	}
	for p := range priorities {
		for s.early < maxAhead && len(s.ahead[p]) > 0 && s.ctx.Err() == nil && (p != priorityPlan || s.active == 0) {
			batch := take(&s.ahead[p], aheadBatch, func(w want) bool {
				return !w.layer.held.has(w.frame) && w.layer.flights[w.frame] == nil
			})
			if len(batch) == 0 {
				continue
			}
			for _, w := range batch {
				w.board()
			}
			s.early++
			s.start(batch, &s.early, true)
		}
	}
}

// take takes frames of one layer from the front of a queue, up to about size
// bytes as stored. Frames that need not be fetched are dropped.
func take(queue *[]want, size int64, needed func(want) bool) []want {
	var batch []want
	n := 0
	for _, w := range *queue {
		if !needed(w) {
			n++
			continue
		}
		if len(batch) > 0 && (w.layer != batch[0].layer || size <= 0) {
			break
		}
		batch = append(batch, w)
		size -= w.layer.index.At(w.frame).Size
		n++
	}
	if *queue = (*queue)[n:]; len(*queue) == 0 {
		*queue = nil
	}
	return batch
}

// start makes a request for frames that are boarded. active counts it.
func (s *scheduler) start(batch []want, active *int, ahead bool) {
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		err := s.request(batch, ahead)
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, w := range batch {
			w.land(err)
		}
		*active--
		s.dispatch()
	}()
}

// land ends the flight of a frame, if it has not landed. The scheduler is locked.
func (w want) land(err error) {
	f := w.layer.flights[w.frame]
	if f == nil {
		return
	}
	f.err = err
	delete(w.layer.flights, w.frame)
	close(f.done)
}

// request fetches frames of one layer. It goes on where it was cut off.
func (s *scheduler) request(batch []want, ahead bool) error {
	l, left := batch[0].layer, 0
	again := func(err error) bool { return !errors.Is(err, frame.ErrCorrupt) && s.ctx.Err() == nil }
	err := Persist(s.ctx, again, func() (brought int, err error) {
		set := l.index.NewSet()
		left = 0
		for _, w := range batch {
			if !l.held.has(w.frame) {
				set.Add(w.frame)
				left++
			}
		}
		if left == 0 {
			return 0, nil
		}
		// What came may be gone already where a cache is small.
		return s.attempt(l, set, ahead)
	})
	if err != nil {
		return fmt.Errorf("fetch %d frames of layer %s: %w", left, l.digest, err)
	}
	return nil
}

// attempt makes one request, and says how many frames it has brought.
func (s *scheduler) attempt(l *Layer, set frame.Set, ahead bool) (brought int, err error) {
	s.mu.Lock()
	s.stats.Requests++
	s.mu.Unlock()
	err = l.source.Frames(s.ctx, set, func(i int, stored []byte) error {
		if err := l.Put(i, stored); err != nil {
			return err
		}
		brought++
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stats.Bytes += int64(len(stored))
		if ahead {
			s.stats.Ahead += int64(len(stored))
		}
		want{l, i}.land(nil)
		return nil
	})
	return brought, err
}

// counted returns what was fetched.
func (s *scheduler) counted() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}
