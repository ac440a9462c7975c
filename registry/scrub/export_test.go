package scrub

import (
	"context"
	"time"
)

// WithClock returns a configuration with another clock.
func WithClock(c Config, now func() time.Time, wait func(context.Context, time.Duration) error) Config {
	c.clock = fakeClock{now, wait}
	return c
}

type fakeClock struct {
	now  func() time.Time
	wait func(context.Context, time.Duration) error
}

func (c fakeClock) Now() time.Time { return c.now() }

func (c fakeClock) Wait(ctx context.Context, d time.Duration) error { return c.wait(ctx, d) }
