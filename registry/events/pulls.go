package events

import (
	"context"
	"time"

	"github.com/cloudlets/cloudlets/registry/metadata"
)

const (
	// maxPulls is how many pulls wait for an endpoint; more are dropped.
	maxPulls = 1000
	// gather is how long pulls are collected to be told at once.
	gather = 200 * time.Millisecond
)

// pulled notes a pull, unless too many wait.
func (w *worker) pulled(e metadata.Event) {
	if ignores(w.endpoint, e) {
		return
	}
	select {
	case w.pulls <- e:
	default:
		w.counts.dropped.WithLabelValues(w.endpoint.Name, reasonPull).Inc()
	}
}

// runPulls tells the endpoint of pulls until ctx is done: once, whatever comes
// of it.
func (w *worker) runPulls(ctx context.Context) {
	for {
		var told []metadata.Event
		select {
		case <-ctx.Done():
			return
		case e := <-w.pulls:
			told = append(told, e)
		}
		if len(w.pulls) < batch-1 && !sleep(ctx, gather, nil) {
			return
		}
		told = append(told, w.waitingPulls()...)
		body, err := encode(told)
		if err == nil {
			err = post(ctx, w.client, w.endpoint, body)
		}
		if err != nil {
			w.counts.dropped.WithLabelValues(w.endpoint.Name, reasonPull).Add(float64(len(told)))
			w.log.DebugContext(ctx, "pulls not told", "endpoint", w.endpoint.Name, "pulls", len(told), "error", err)
			continue
		}
		w.counts.sent.WithLabelValues(w.endpoint.Name).Add(float64(len(told)))
	}
}

// waitingPulls returns the pulls that wait, up to a batch.
func (w *worker) waitingPulls() (told []metadata.Event) {
	for len(told) < batch-1 {
		select {
		case e := <-w.pulls:
			told = append(told, e)
		default:
			return told
		}
	}
	return told
}
