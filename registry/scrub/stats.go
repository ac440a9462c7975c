package scrub

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// counts are what the scrubber of this process has done.
type counts struct {
	verified, bytes, damaged, repaired atomic.Int64
}

// stateTimeout is how long the database is asked for the state of the scrub.
const stateTimeout = 5 * time.Second

// Collector tells Prometheus what the scrubber has done, and how far all of them
// together have come.
func (s *Scrubber) Collector() prometheus.Collector { return collector{s} }

type collector struct{ *Scrubber }

var (
	descVerified    = describe("verified_blobs_total", "Blobs found sound by this server.")
	descBytes       = describe("read_bytes_total", "Bytes read by this server to verify blobs.")
	descDamaged     = describe("damaged_blobs_total", "Blobs put in quarantine by this server.")
	descRepaired    = describe("repaired_blobs_total", "Blobs that this server took out of quarantine.")
	descQuarantined = describe("quarantined_blobs", "Blobs in quarantine, of all servers.")
	descOldest      = describe("oldest_verified_seconds", "Time since the blob was verified that was so longest ago, of all servers.")
)

func describe(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("cloudlets_scrub_"+name, help, nil, nil)
}

func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descVerified, descBytes, descDamaged, descRepaired, descQuarantined, descOldest} {
		out <- d
	}
}

func (c collector) Collect(out chan<- prometheus.Metric) {
	for d, n := range map[*prometheus.Desc]*atomic.Int64{
		descVerified: &c.counts.verified, descBytes: &c.counts.bytes, descDamaged: &c.counts.damaged, descRepaired: &c.counts.repaired,
	} {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n.Load()))
	}
	ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
	defer cancel()
	state, err := c.meta.ScrubState(ctx)
	if err != nil {
		c.log.WarnContext(ctx, "state of the scrub not told", "error", err)
		return // there is no value that would not lie
	}
	out <- prometheus.MustNewConstMetric(descQuarantined, prometheus.GaugeValue, float64(state.Quarantined))
	out <- prometheus.MustNewConstMetric(descOldest, prometheus.GaugeValue, state.Oldest.Seconds())
}
