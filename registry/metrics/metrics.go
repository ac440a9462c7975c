package metrics

import (
	"database/sql"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Options are what metrics are made of.
type Options struct {
	// Endpoint names the endpoint of a path by one of a few words.
	Endpoint func(path string) string
	// Log is where requests are logged.
	Log *slog.Logger
}

// Metrics counts what a registry does.
type Metrics struct {
	registry *prometheus.Registry
	endpoint func(string) string
	log      *slog.Logger
	access   atomic.Bool

	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	received *prometheus.CounterVec
	sent     *prometheus.CounterVec
	inFlight prometheus.Gauge
	series   seriesTable
	work     work
}

// buckets are the upper bounds of the latency histograms in seconds: a manifest
// takes under a millisecond, a disk image minutes.
var buckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}

// New returns metrics in which nothing was counted.
func New(o Options) *Metrics {
	labels := []string{"endpoint", "method"}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		endpoint: o.Endpoint,
		log:      o.Log,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cloudlets_http_requests_total", Help: "Requests answered."}, append(labels, "code")),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cloudlets_http_request_duration_seconds", Help: "Time from a request's header to the end of its answer.", Buckets: buckets}, labels),
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cloudlets_http_received_bytes_total", Help: "Bytes of the bodies of requests."}, labels),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cloudlets_http_sent_bytes_total", Help: "Bytes of the bodies of answers."}, labels),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "cloudlets_http_requests_in_flight", Help: "Requests being answered."}),
	}
	m.work = newWork()
	m.work.register(m.registry)
	m.registry.MustRegister(m.requests, m.duration, m.received, m.sent, m.inFlight,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// CountPools counts the connections of databases, by name. It is called once.
func (m *Metrics) CountPools(pools map[string]*sql.DB) {
	for name, db := range pools {
		m.registry.MustRegister(collectors.NewDBStatsCollector(db, name))
	}
}

// LogAccess says whether every request is logged.
func (m *Metrics) LogAccess(on bool) { m.access.Store(on) }

// Wrap returns a handler that counts what another one answers.
func (m *Metrics) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		m.inFlight.Inc()
		out := &writer{ResponseWriter: w}
		in := &reader{ReadCloser: r.Body}
		if r.Body != http.NoBody {
			r.Body = in
		}
		// Deferred, for a transfer that breaks off ends in a panic.
		defer func() {
			m.inFlight.Dec()
			m.count(r, out, in.bytes, time.Since(began))
		}()
		next.ServeHTTP(out, r)
	})
}

func (m *Metrics) count(r *http.Request, out *writer, received int64, took time.Duration) {
	endpoint, method, status := m.endpoint(r.URL.Path), methodName(r.Method), out.statusCode()
	s := m.series.get(m, endpoint, method)
	s.code(m, status).Inc()
	s.duration.Observe(took.Seconds())
	s.received.Add(float64(received))
	s.sent.Add(float64(out.bytes))
	if m.access.Load() {
		m.log.LogAttrs(r.Context(), slog.LevelInfo, "request",
			slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.String("endpoint", endpoint),
			slog.Int("status", status), slog.Int64("received", received), slog.Int64("sent", out.bytes),
			slog.Duration("took", took), slog.String("client", r.RemoteAddr), slog.String("agent", r.UserAgent()))
	}
}
