package scrub

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cloudlets/cloudlets/blobstore"
)

const (
	// minPause and maxPause bound the wait between two passes, which doubles while
	// there is nothing to do.
	minPause = 10 * time.Second
	maxPause = 10 * time.Minute
	// repairPause is the wait between two looks for blobs to repair.
	repairPause = time.Minute
)

// Run verifies and repairs until ctx is done. What fails is logged and tried again
// later.
func (s *Scrubber) Run(ctx context.Context) {
	var loops sync.WaitGroup
	loops.Go(func() { s.respond(ctx) })
	loops.Go(func() { s.mend(ctx) })
	if s.interval > 0 {
		loops.Go(func() { s.patrol(ctx) })
	}
	loops.Wait()
}

// patrol verifies what is due.
func (s *Scrubber) patrol(ctx context.Context) {
	pause := minPause
	for s.clock.Wait(ctx, pause/2+rand.N(pause)) == nil {
		r, err := s.Verify(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.log.ErrorContext(ctx, "scrub failed, trying again later", "error", err)
		case r != Result{}:
			s.log.InfoContext(ctx, "blobs verified", "verified", r.Verified, "bytes", r.Bytes, "damaged", r.Damaged, "unknown", r.Unknown)
			pause = minPause
			continue
		}
		pause = min(2*pause, maxPause)
	}
}

// respond verifies what is suspected, as soon as it is.
func (s *Scrubber) respond(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case d := <-s.suspects.waiting:
			_, err := s.Examine(ctx, d)
			if err != nil && ctx.Err() == nil && !errors.Is(err, blobstore.ErrNotFound) {
				s.log.ErrorContext(ctx, "blob not verified that could not be read", "blob", d, "error", err)
			}
		}
	}
}

// mend repairs what was found damaged, and what could not be repaired before.
func (s *Scrubber) mend(ctx context.Context) {
	timer := time.NewTicker(repairPause)
	defer timer.Stop()
	for {
		if _, err := s.Repair(ctx); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "repair failed, trying again later", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.suspects.repair:
		case <-timer.C:
		}
	}
}
