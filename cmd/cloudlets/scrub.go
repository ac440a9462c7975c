package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/cloudlets/cloudlets/config"
	"github.com/cloudlets/cloudlets/registry/scrub"
)

// newScrubber returns a scrubber that hears of every blob which cannot be read.
func newScrubber(st *store, c config.Scrub, log *slog.Logger) (*scrub.Scrubber, error) {
	sources, err := scrub.ParseUpstreams(c.RepairFrom)
	if err != nil {
		return nil, fmt.Errorf("scrub.repairFrom: %w", err)
	}
	s, err := scrub.New(scrub.Config{
		Metadata: st.meta, Blobs: st.blobs, Interval: c.Interval, Rate: c.Rate, Sources: sources, Present: st.present, Log: log,
	})
	if err != nil {
		return nil, err
	}
	st.blobs.Watch(s.Suspect)
	return s, nil
}

// present says whether the objects are where they were, and the same.
func (s *store) present(ctx context.Context) error {
	id, err := s.objects.id(ctx)
	if err == nil {
		err = s.meta.Bind(ctx, id)
	}
	if err != nil {
		return fmt.Errorf("blobs in %s: %w", s.objects.place, err)
	}
	return nil
}
