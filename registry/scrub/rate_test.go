package scrub

import (
	"context"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestRateIsBounded takes at random and checks every stretch of time against the
// bound that the limiter promises.
func TestRateIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_700_000_000, 0)
		begin := now
		rate := rapid.Int64Range(1, 1<<30).Draw(t, "rate")
		l := &limiter{rate: rate, clock: fakeClock{
			func() time.Time { return now },
			func(_ context.Context, d time.Duration) error { now = now.Add(d); return nil },
		}}
		type taken struct {
			at time.Duration
			n  int64
		}
		var passed []taken
		largest := int64(0)
		for range rapid.IntRange(1, 30).Draw(t, "takes") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(3*time.Second)).Draw(t, "idle")))
			n := rapid.Int64Range(0, 2*rate).Draw(t, "n")
			if err := l.take(context.Background(), n); err != nil {
				t.Fatal(err)
			}
			passed = append(passed, taken{now.Sub(begin), n})
			largest = max(largest, n)
		}
		for i, from := range passed {
			sum := int64(0)
			for _, to := range passed[i:] {
				sum += to.n
				bound := float64(rate)*(to.at-from.at+burst).Seconds() + float64(largest) + 1
				if float64(sum) > bound*1.000001 {
					t.Fatalf("%d bytes pass in %v, at most %.0f may at %d a second", sum, to.at-from.at, bound, rate)
				}
			}
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l := &limiter{rate: 1, clock: wallClock{}}
	if err := l.take(ctx, 1<<40); err == nil {
		t.Error("a wait of centuries ended well")
	}
}
