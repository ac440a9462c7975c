package events

import "github.com/prometheus/client_golang/prometheus"

// Why events are dropped.
const (
	reasonBound = "bound" // of the outbox
	reasonPull  = "pull"  // that could not be told at once
)

// counts are the metrics of a sender: it is a prometheus.Collector.
type counts struct {
	sent, failed, dropped *prometheus.CounterVec
}

func newCounts() *counts {
	return &counts{
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cloudlets_events_sent_total", Help: "Events that an endpoint has answered with 2xx."}, []string{"endpoint"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cloudlets_events_failed_total", Help: "Attempts to tell an endpoint of changes that failed."}, []string{"endpoint"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cloudlets_events_dropped_total", Help: "Events that an endpoint will never be told of."}, []string{"endpoint", "reason"}),
	}
}

// begin has the counters of an endpoint there before anything happens.
func (c *counts) begin(endpoint string) {
	c.sent.WithLabelValues(endpoint)
	c.failed.WithLabelValues(endpoint)
	c.dropped.WithLabelValues(endpoint, reasonBound)
}

// Describe tells Prometheus what there is to collect.
func (c *counts) Describe(out chan<- *prometheus.Desc) {
	for _, v := range []*prometheus.CounterVec{c.sent, c.failed, c.dropped} {
		v.Describe(out)
	}
}

// Collect gives Prometheus the values.
func (c *counts) Collect(out chan<- prometheus.Metric) {
	for _, v := range []*prometheus.CounterVec{c.sent, c.failed, c.dropped} {
		v.Collect(out)
	}
}
