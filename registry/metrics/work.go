package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/registry/gc"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// work counts what the server does beside answering requests.
type work struct {
	renders   *prometheus.HistogramVec
	reclaimed prometheus.Counter
	removed   prometheus.Counter
	reviews   *prometheus.CounterVec
}

func newWork() work {
	w := work{
		renders: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cloudlets_render_duration_seconds", Help: "Time from when a render is asked for to its end, by the state that it ends in.", Buckets: buckets}, []string{"state"}),
		reclaimed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cloudlets_gc_reclaimed_bytes_total", Help: "Bytes of blobs whose objects were removed."}),
		removed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cloudlets_gc_removed_objects_total", Help: "Objects that were removed from the trash."}),
		reviews: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cloudlets_gc_reviews_total", Help: "Reviews, by what came of them."}, []string{"outcome"}),
	}
	// They are there before anything happens, so that a rate can be told.
	for _, state := range []string{api.RenderDone, api.RenderFailed} {
		w.renders.WithLabelValues(state)
	}
	w.count(metadata.Reviewed{})
	return w
}

// count adds what came of reviews.
func (w *work) count(r metadata.Reviewed) {
	for outcome, n := range map[string]int{
		"kept": r.Kept, "postponed": r.Postponed, "manifest": r.Manifests, "link": r.Links, "blob": r.Blobs,
	} {
		w.reviews.WithLabelValues(outcome).Add(float64(n))
	}
}

func (w *work) register(r *prometheus.Registry) {
	r.MustRegister(w.renders, w.reclaimed, w.removed, w.reviews)
}

// Rendered counts a render that has ended.
func (m *Metrics) Rendered(state string, took time.Duration) {
	m.work.renders.WithLabelValues(state).Observe(took.Seconds())
}

// Collected counts what a pass of the collector came to.
func (m *Metrics) Collected(r gc.Result) {
	m.work.reclaimed.Add(float64(r.Freed))
	m.work.removed.Add(float64(r.Removed))
	m.work.count(r.Reviewed)
}

// WatchRenders has /metrics tell the renders under way. It is called once.
func (m *Metrics) WatchRenders(underWay func() (planning, storing int)) {
	gauge := func(state string, value func(planning, storing int) int) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "cloudlets_renders_in_progress", Help: "Renders under way.", ConstLabels: prometheus.Labels{"state": state},
		}, func() float64 { return float64(value(underWay())) }))
	}
	gauge("planning", func(planning, _ int) int { return planning })
	gauge("storing", func(_, storing int) int { return storing })
}

// Register adds what others count. It is called once for each.
func (m *Metrics) Register(c prometheus.Collector) { m.registry.MustRegister(c) }
