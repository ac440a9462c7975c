package scrub

import (
	"context"
	"sync"
	"time"
)

// burst is how much of what was not used can be used later.
const burst = time.Second

// clock is the time, and waiting.
type clock interface {
	Now() time.Time
	Wait(ctx context.Context, d time.Duration) error
}

type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

func (wallClock) Wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// limiter bounds bytes a second: in any time t no more than rate × (t + burst) pass,
// and what is taken at once. It is used by any number of goroutines.
type limiter struct {
	rate  int64 // bytes a second; 0 is without bound
	clock clock

	mu   sync.Mutex
	free time.Time // when what was taken so far will have been paid for
}

// take waits until n bytes may pass.
func (l *limiter) take(ctx context.Context, n int64) error {
	if l.rate == 0 {
		return ctx.Err()
	}
	if wait := l.reserve(n); wait > 0 {
		return l.clock.Wait(ctx, wait)
	}
	return ctx.Err()
}

func (l *limiter) reserve(n int64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	if oldest := now.Add(-burst); l.free.Before(oldest) {
		l.free = oldest
	}
	l.free = l.free.Add(time.Duration(float64(n) / float64(l.rate) * float64(time.Second)))
	return l.free.Sub(now)
}

// pace is a writer that lets bytes pass at the limiter's rate, and counts them.
type pace struct {
	ctx     context.Context
	limiter *limiter
	counted func(n int64)
}

func (p *pace) Write(b []byte) (int, error) {
	if err := p.limiter.take(p.ctx, int64(len(b))); err != nil {
		return 0, err
	}
	p.counted(int64(len(b)))
	return len(b), nil
}
