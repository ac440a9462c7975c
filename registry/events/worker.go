package events

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/cloudlets/cloudlets/config"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

const (
	// batch is how many events are told at once.
	batch = 50
	// lease is how long an endpoint waits for another server when the one that
	// tells it has died; a living one renews it in time.
	lease = 10 * time.Second
	// poll is how often a server looks for events of the others. Its own wake it.
	poll = 2 * time.Second
	// maxBackoff bounds the wait of an endpoint that fails.
	maxBackoff = 5 * time.Minute
	// jitter is the part of a wait that is left to chance.
	jitter = 0.33
	// grace is how long a request may go on when the server stops.
	grace = 5 * time.Second
)

// worker tells one endpoint.
type worker struct {
	endpoint config.EventEndpoint
	meta     *metadata.Store
	owner    string
	client   *http.Client
	counts   *counts
	log      *slog.Logger
	woken    chan struct{} // holds a value if there may be events
	pulls    chan metadata.Event
}

// run tells the endpoint of changes until ctx is done.
func (w *worker) run(ctx context.Context) {
	defer w.release(ctx)
	failures := 0
	for {
		more, err := w.round(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			failures++
			wait := w.backoff(failures, err)
			w.logFailure(ctx, failures, wait, err)
			if !sleep(ctx, wait, nil) {
				return
			}
			continue
		case failures > 0:
			w.log.InfoContext(ctx, "endpoint of events answers again", "endpoint", w.endpoint.Name, "failures", failures)
			failures = 0
		}
		if !more && !sleep(ctx, poll, w.woken) {
			return
		}
	}
}

// round tells the endpoint of the next events. It says whether there may be more.
func (w *worker) round(ctx context.Context) (more bool, err error) {
	if waiting, err := w.meta.Backlog(ctx, w.endpoint.Name); err != nil || !waiting {
		return false, err
	}
	position, mine, err := w.meta.ClaimEndpoint(ctx, w.endpoint.Name, w.owner, lease)
	if err != nil || !mine {
		return false, err
	}
	queued, err := w.meta.QueuedEvents(ctx, position, batch)
	if err != nil || len(queued) == 0 {
		return false, err
	}
	wanted := w.wanted(queued)
	if len(wanted) > 0 {
		if err := w.tell(ctx, wanted); err != nil {
			return false, err
		}
	}
	// What was told is noted even if the server is stopping.
	err = w.meta.AdvanceEndpoint(context.WithoutCancel(ctx), w.endpoint.Name, w.owner, queued[len(queued)-1].Position, lease)
	if errors.Is(err, metadata.ErrConflict) {
		return false, nil // another server has taken over, and tells it again
	}
	if err == nil {
		w.counts.sent.WithLabelValues(w.endpoint.Name).Add(float64(len(wanted)))
	}
	return true, err
}

// wanted returns the events that the endpoint does not ignore.
func (w *worker) wanted(queued []metadata.Queued) []metadata.Event {
	var wanted []metadata.Event
	for _, q := range queued {
		if !ignores(w.endpoint, q.Event) {
			wanted = append(wanted, q.Event)
		}
	}
	return wanted
}

func ignores(e config.EventEndpoint, event metadata.Event) bool {
	return slices.Contains(e.Ignore.Actions, string(event.Action)) ||
		event.MediaType != "" && slices.Contains(e.Ignore.MediaTypes, event.MediaType)
}

// tell sends events, holding on to the lease for as long as it takes. A request
// under way when ctx is done has a while to end.
func (w *worker) tell(ctx context.Context, told []metadata.Event) error {
	body, err := encode(told)
	if err != nil {
		return err
	}
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		if sleep(sending, grace, nil) {
			cancel()
		}
	})()
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		w.keepLease(sending, cancel)
	}()
	err = post(sending, w.client, w.endpoint, body)
	cancel()
	<-kept
	return err
}

// keepLease renews the lease until ctx is done, and calls lost if it cannot.
func (w *worker) keepLease(ctx context.Context, lost func()) {
	for sleep(ctx, lease/4, nil) {
		_, mine, err := w.meta.ClaimEndpoint(ctx, w.endpoint.Name, w.owner, lease)
		if err == nil && !mine {
			lost()
			return
		}
	}
}

// release lets another server tell the endpoint at once.
func (w *worker) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := w.meta.ReleaseEndpoint(ctx, w.endpoint.Name, w.owner); err != nil {
		w.log.WarnContext(ctx, "endpoint of events not released", "endpoint", w.endpoint.Name, "error", err)
	}
}

// backoff returns how long to wait after a number of failures in a row: as
// configured up to the threshold, twice as long each time from there on, and
// never shorter than the endpoint wants.
func (w *worker) backoff(failures int, err error) time.Duration {
	wait := w.endpoint.Backoff
	for range min(max(0, failures-w.endpoint.Threshold), 20) {
		wait = min(2*wait, max(maxBackoff, w.endpoint.Backoff))
	}
	wait = time.Duration(float64(wait) * (1 - jitter + 2*jitter*rand.Float64()))
	var refused *refusal
	if errors.As(err, &refused) {
		wait = max(wait, refused.retryAfter)
	}
	return wait
}

// logFailure logs the first failure and the one from which on the endpoint counts
// as down; the others are told by the metrics.
func (w *worker) logFailure(ctx context.Context, failures int, wait time.Duration, err error) {
	w.counts.failed.WithLabelValues(w.endpoint.Name).Inc()
	level := slog.LevelDebug
	switch failures {
	case w.endpoint.Threshold:
		level = slog.LevelError
	case 1:
		level = slog.LevelWarn
	}
	w.log.Log(ctx, level, "events not delivered, trying again", "endpoint", w.endpoint.Name, "failures", failures, "wait", wait, "error", err)
}

// sleep waits, or until it is woken, and says whether ctx is not done.
func sleep(ctx context.Context, d time.Duration, woken <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-woken:
		return true
	case <-timer.C:
		return true
	}
}
