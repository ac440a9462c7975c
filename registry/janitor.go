package registry

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// sweepBatch is how many expired uploads, or objects of the trash, one step of
// the janitor takes.
const sweepBatch = 100

// Run removes uploads that have expired and objects whose time in the trash is
// over, now and at every interval, until ctx is done. What fails is logged and
// tried again the next time.
func (s *Server) Run(ctx context.Context) {
	tick := time.NewTicker(s.janitor)
	defer tick.Stop()
	for {
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "janitor failed, trying again later", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Sweep does once what Run does at every interval.
func (s *Server) Sweep(ctx context.Context) error {
	for {
		n, err := s.meta.ExpireUploads(ctx, sweepBatch)
		if err != nil {
			return err
		}
		if n < sweepBatch {
			break
		}
	}
	return s.emptyTrash(ctx)
}

// emptyTrash removes the objects that are due. An object goes before its row, so
// a crash between the two only repeats the removal.
func (s *Server) emptyTrash(ctx context.Context) error {
	for {
		keys, err := s.meta.DueTrash(ctx, sweepBatch)
		if err != nil {
			return err
		}
		var errs []error
		removed := keys[:0]
		for _, key := range keys {
			if err := s.blobs.Remove(ctx, key); err != nil {
				errs = append(errs, fmt.Errorf("remove object %s: %w", key, err))
				continue
			}
			removed = append(removed, key)
		}
		full := len(keys) == sweepBatch
		if err := s.meta.ForgetTrash(ctx, removed...); err != nil {
			return errors.Join(append(errs, err)...)
		}
		if len(errs) > 0 || !full {
			return errors.Join(errs...)
		}
	}
}
