package access

import (
	"math"
	"sync"
	"time"
)

// maxClients is how many clients have a bucket of their own; the others share
// one.
const maxClients = 1 << 16

// limiter bounds how often each client does something: a token bucket each.
type limiter struct {
	rate  Rate
	clock func() time.Time

	mu      sync.Mutex
	buckets map[string]*bucket
	forgot  time.Time // when full buckets were last dropped
}

type bucket struct {
	tokens float64
	at     time.Time
}

// newLimiter returns a limiter, or nil, which bounds nothing, for a rate of zero.
func newLimiter(rate Rate, clock func() time.Time) *limiter {
	if rate.PerSecond == 0 {
		return nil
	}
	return &limiter{rate: rate, clock: clock, buckets: make(map[string]*bucket)}
}

// take takes a token of a client's, or says how long to wait for one.
func (l *limiter) take(client string) (wait time.Duration, ok bool) {
	if l == nil {
		return 0, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(client)
	if b.tokens < 1 {
		seconds := math.Ceil((1 - b.tokens) / l.rate.PerSecond)
		return time.Duration(min(seconds, maxWaitSeconds)) * time.Second, false
	}
	b.tokens--
	return 0, true
}

// maxWaitSeconds bounds what clients are told to wait.
const maxWaitSeconds = 3600

// give gives a token back.
func (l *limiter) give(client string) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(client)
	b.tokens = min(b.tokens+1, float64(l.rate.Burst))
}

// bucket returns the bucket of a client with the tokens it has now.
func (l *limiter) bucket(client string) *bucket {
	now := l.clock()
	b := l.buckets[client]
	if b == nil {
		if len(l.buckets) >= maxClients && now.Sub(l.forgot) >= time.Second {
			l.forgetFull(now)
		}
		if len(l.buckets) >= maxClients {
			client = "" // that of all the others
			b = l.buckets[client]
		}
	}
	if b == nil {
		b = &bucket{tokens: float64(l.rate.Burst), at: now}
		l.buckets[client] = b
	}
	l.fill(b, now)
	return b
}

func (l *limiter) fill(b *bucket, now time.Time) {
	if passed := now.Sub(b.at); passed > 0 {
		b.tokens = min(b.tokens+passed.Seconds()*l.rate.PerSecond, float64(l.rate.Burst))
		b.at = now
	}
}

// forgetFull drops the buckets that are as new ones would be.
func (l *limiter) forgetFull(now time.Time) {
	l.forgot = now
	for client, b := range l.buckets {
		if l.fill(b, now); b.tokens >= float64(l.rate.Burst) {
			delete(l.buckets, client)
		}
	}
}
