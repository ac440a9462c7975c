// Package clocktest is a clock for the tests of what waits for days. It stands
// still until a test moves it, or somebody waits by it.
package clocktest

import (
	"context"
	"sync"
	"time"
)

// Clock is a clock that is moved by hand. It may be used by several goroutines.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// New returns a clock, the same for every test.
func New() *Clock { return &Clock{now: time.Unix(1_700_000_000, 0).UTC()} }

// Now returns the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Pass moves the clock.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Wait moves the clock instead of waiting.
func (c *Clock) Wait(ctx context.Context, d time.Duration) error {
	c.Pass(d)
	return ctx.Err()
}
