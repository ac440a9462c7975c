package gc

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// minPause and maxPause bound the wait between two passes, which doubles
	// while there is nothing to do. It is no longer than the time between two
	// searches for orphans.
	minPause = 5 * time.Second
	maxPause = 5 * time.Minute
	// jitter is the part of a pause that is left to chance, so that nodes which
	// were started together do not stay together.
	jitter = 0.33

	// Retention and orphans are looked to this often, by one node for all, unless
	// the configuration says otherwise.
	retentionInterval     = time.Hour
	defaultOrphanInterval = 7 * 24 * time.Hour
)

// Run collects until ctx is done. What fails is logged and tried again later.
func (c *Collector) Run(ctx context.Context) {
	longest := min(maxPause, c.orphanInterval)
	shortest := min(minPause, longest)
	pause := shortest
	for wait(ctx, pause) {
		r, err := c.once(ctx)
		c.observe(r)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			c.log.ErrorContext(ctx, "garbage collection failed, trying again later", "error", err)
		case !r.idle():
			c.log.InfoContext(ctx, "garbage collected", "tags", r.Tags, "uploads", r.Uploads, "manifests", r.Reviewed.Manifests,
				"blobs", r.Reviewed.Blobs, "bytes", r.Reviewed.Bytes, "orphans", r.Orphans, "objects_removed", r.Removed,
				"packs_rewritten", r.Repacked.Packs, "packs_bytes", r.Repacked.Bytes)
			pause = shortest
			continue
		}
		pause = min(2*pause, longest)
	}
}

// once does a pass, and the rarer duties if it is this node's turn.
func (c *Collector) once(ctx context.Context) (r Result, err error) {
	mine, err := c.meta.ClaimDuty(ctx, "retention", retentionInterval)
	if err != nil {
		return r, err
	}
	if mine {
		if r.Tags, err = c.Retire(ctx); err != nil {
			return r, err
		}
	}
	if err := c.pass(ctx, &r); err != nil {
		return r, err
	}
	if mine, err = c.meta.ClaimDuty(ctx, "repack", repackInterval); err != nil {
		return r, err
	}
	if mine {
		if r.Repacked, err = c.Repack(ctx); err != nil {
			return r, err
		}
	}
	if mine, err = c.meta.ClaimDuty(ctx, "orphans", c.orphanInterval); err != nil || !mine {
		return r, err
	}
	r.Orphans, err = c.FindOrphans(ctx)
	return r, err
}

// wait waits for a pause, more or less, and says whether ctx is not done.
func wait(ctx context.Context, pause time.Duration) bool {
	factor := 1 - jitter + 2*jitter*rand.Float64()
	timer := time.NewTimer(time.Duration(float64(pause) * factor))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
