package gc

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// BenchmarkManifestPut puts manifests of three layers, each new and tagged.
func BenchmarkManifestPut(b *testing.B) {
	for engine, open := range engines {
		b.Run(engine, func(b *testing.B) {
			w := newWorld(b, open, 0, Policy{})
			var refs []metadata.Reference
			for i := range 3 {
				refs = append(refs, metadata.Reference{Digest: w.mustCommit(i), Kind: metadata.RefLayer})
			}
			for i := 0; b.Loop(); i++ {
				if err := w.put("a", append(slices.Clip(refs), metadata.Reference{Digest: digest.FromString(fmt.Sprint(i)), Kind: metadata.RefChild, Sparse: true}), "", "latest"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// dead is how many blobs BenchmarkCollect collects.
const dead = 100_000

// BenchmarkCollect collects dead blobs, from the expiry of their leases to the
// removal of their objects, while a client reads manifests. It takes minutes to
// set up: -benchtime=1x. Besides the whole it tells how long the reads took,
// with and without the collector.
func BenchmarkCollect(b *testing.B) {
	for engine, open := range engines {
		b.Run(engine, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				w := newWorld(b, open, 0, Policy{})
				w.mustPut("a", nil, "v1")
				for i := range dead {
					w.mustCommit(i)
				}
				idle := w.reads(time.Second, nil)
				w.clock.pass(lease)
				done := make(chan struct{})
				var reader sync.WaitGroup
				var busy time.Duration
				reader.Go(func() { busy = w.reads(time.Hour, done) })
				b.StartTimer()
				r := w.mustCollect()
				w.clock.pass(delay)
				r.Removed += w.mustCollect().Removed
				b.StopTimer()
				close(done)
				reader.Wait()
				if r.Reviewed.Blobs != dead || r.Removed != dead {
					b.Fatalf("got %+v", r)
				}
				b.ReportMetric(float64(idle.Microseconds()), "idle-p99-µs")
				b.ReportMetric(float64(busy.Microseconds()), "busy-p99-µs")
				b.StartTimer()
			}
			b.ReportMetric(float64(b.N)*dead/b.Elapsed().Seconds(), "blobs/s")
		})
	}
}

// reads reads a manifest, again and again, for a while or until done, and
// returns the 99th percentile of how long it took.
func (w *world) reads(d time.Duration, done <-chan struct{}) time.Duration {
	var took []time.Duration
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Microsecond) {
		select {
		case <-done:
			end = time.Time{}
		default:
		}
		start := time.Now()
		if _, err := w.meta.Tagged(w.ctx, "a", "v1"); err != nil {
			w.t.Error(err)
			break
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}

// mustCommit commits the record of a blob without an object.
func (w *world) mustCommit(i int) digest.Digest {
	w.t.Helper()
	d := digest.FromString(fmt.Sprint("blob ", i))
	_, err := w.meta.CommitBlob(w.ctx, "a", blobstore.Record{Digest: d, Size: 1, Kind: blobstore.Whole, Key: string(d)}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}
