package metrics

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cloudlets/cloudlets/registry/metadata"
)

const (
	// stateAge is how long what was counted is told again.
	stateAge = 30 * time.Second
	// stateTimeout bounds the counting.
	stateTimeout = 5 * time.Second
)

// stateCollector tells what a store holds: it is a prometheus.Collector. While
// the store does not answer it tells nothing.
type stateCollector struct {
	count func(context.Context) (metadata.State, error)
	log   *slog.Logger

	mu      sync.Mutex
	state   metadata.State
	counted time.Time

	blobs, blobBytes, trash, trashBytes, uploads, uploadBytes, renders *prometheus.Desc
	reviews, due, oldest, leases, pending, pendingAge                  *prometheus.Desc
}

// WatchState has /metrics tell what a store holds. It is called once.
func (m *Metrics) WatchState(count func(context.Context) (metadata.State, error)) {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("cloudlets_"+name, help, labels, nil)
	}
	m.registry.MustRegister(&stateCollector{
		count: count, log: m.log,
		blobs:       desc("blobs", "Blobs, by how they are kept.", "kind"),
		blobBytes:   desc("blob_bytes", "Bytes of the content of blobs, by how they are kept; whole ones occupy as much.", "kind"),
		trash:       desc("trash_objects", "Objects that wait to be removed."),
		trashBytes:  desc("trash_bytes", "Bytes of the blobs that wait to be removed."),
		uploads:     desc("uploads", "Unfinished uploads."),
		uploadBytes: desc("upload_bytes", "Bytes that unfinished uploads have saved."),
		renders:     desc("renders", "Renders that can be had without rendering again."),
		reviews:     desc("gc_queue_length", "Entries of the review queue."),
		due:         desc("gc_queue_due", "Entries of the review queue whose time has come."),
		oldest:      desc("gc_queue_oldest_due_seconds", "How long the entry of the review queue that waits longest has been due."),
		leases:      desc("gc_leases", "Promises that blobs stay."),
		pending:     desc("events_pending", "Events that an endpoint was not told of yet.", "endpoint"),
		pendingAge:  desc("events_oldest_pending_seconds", "How long ago the first event was that an endpoint was not told of yet.", "endpoint"),
	})
}

// Describe tells Prometheus nothing beforehand: all is told when it is counted.
func (c *stateCollector) Describe(chan<- *prometheus.Desc) {}

// Collect gives Prometheus the values.
func (c *stateCollector) Collect(out chan<- prometheus.Metric) {
	s, ok := c.current()
	if !ok {
		return
	}
	tell := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for kind, amount := range s.Blobs {
		tell(c.blobs, float64(amount.Count), string(kind))
		tell(c.blobBytes, float64(amount.Bytes), string(kind))
	}
	for _, e := range s.Endpoints {
		tell(c.pending, float64(e.Pending), e.Name)
		tell(c.pendingAge, e.Oldest.Seconds(), e.Name)
	}
	for _, g := range []struct {
		desc  *prometheus.Desc
		value int64
	}{
		{c.trash, s.Trash.Count}, {c.trashBytes, s.Trash.Bytes}, {c.uploads, s.Uploads.Count}, {c.uploadBytes, s.Uploads.Bytes},
		{c.renders, s.Renders}, {c.reviews, s.Queue.Reviews}, {c.due, s.Queue.Due}, {c.leases, s.Queue.Leases},
	} {
		tell(g.desc, float64(g.value))
	}
	tell(c.oldest, s.Queue.OldestDue.Seconds())
}

// current returns what the store holds, or held not long ago.
func (c *stateCollector) current() (metadata.State, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.counted.IsZero() && time.Since(c.counted) < stateAge {
		return c.state, true
	}
	ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
	defer cancel()
	state, err := c.count(ctx)
	if err != nil {
		c.log.Warn("what the store holds cannot be counted", "error", err)
		return state, false
	}
	c.state, c.counted = state, time.Now()
	return state, true
}
