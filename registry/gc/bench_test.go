package gc

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/file"
	"github.com/cloudlets/cloudlets/registry"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// BenchmarkManifestPut puts manifests of three layers, each new and tagged.
func BenchmarkManifestPut(b *testing.B) {
	for engine, open := range engines {
		b.Run(engine, func(b *testing.B) {
			w := newWorld(b, open, 0, Policy{})
			var refs []metadata.Reference
			for i := range 3 {
				refs = append(refs, metadata.Reference{Digest: w.mustCommit(i, fmt.Sprint("key ", i)), Kind: metadata.RefLayer})
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
// removal of their files, while a client reads a manifest over HTTP. It takes
// minutes to set up: -benchtime=1x. Besides the whole it tells how long the reads
// took, with and without the collector.
func BenchmarkCollect(b *testing.B) {
	for engine, open := range engines {
		b.Run(engine, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				w := newWorld(b, open, 0, Policy{})
				w.mustPut("a", nil, "v1")
				w.onDisk(b.TempDir())
				url := w.serve() + "/v2/a/manifests/v1"
				w.reads(url, time.Second, nil) // connects
				idle := w.reads(url, 5*time.Second, nil)
				w.clock.Pass(lease)
				done := make(chan struct{})
				var reader sync.WaitGroup
				var busy time.Duration
				reader.Go(func() { busy = w.reads(url, time.Hour, done) })
				b.StartTimer()
				r := w.mustCollect()
				w.clock.Pass(delay)
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

// onDisk puts the blobs that are to die in files, and has the collector remove
// those.
func (w *world) onDisk(dir string) {
	w.t.Helper()
	driver, err := file.New(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "objects", "today"), 0o750); err != nil {
		w.t.Fatal(err)
	}
	for i := range dead {
		key := fmt.Sprintf("objects/today/%06d", i)
		if err := os.WriteFile(filepath.Join(dir, key), []byte("x"), 0o600); err != nil {
			w.t.Fatal(err)
		}
		w.mustCommit(i, key)
	}
	w.gc, err = New(Config{Metadata: w.meta, Objects: driver, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
}

// serve serves the registry over HTTP and returns its URL.
func (w *world) serve() string {
	w.t.Helper()
	handler, err := registry.New(registry.Config{Blobs: w.blobs, Metadata: w.meta, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	w.t.Cleanup(server.Close)
	return server.URL
}

// reads reads a manifest, about a thousand times a second, for a while or until
// done, and returns the 99th percentile of how long it took.
func (w *world) reads(url string, d time.Duration, done <-chan struct{}) time.Duration {
	var took []time.Duration
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Millisecond) {
		select {
		case <-done:
			end = time.Time{}
		default:
		}
		start := time.Now()
		if err := read(url); err != nil {
			w.t.Error(err)
			break
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}

func read(url string) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// mustCommit commits the record of a blob whose object has the key.
func (w *world) mustCommit(i int, key string) digest.Digest {
	w.t.Helper()
	d := digest.FromString(fmt.Sprint("blob ", i))
	_, err := w.meta.CommitBlob(w.ctx, "a", blobstore.Record{Digest: d, Size: 1, Kind: blobstore.Whole, Key: key}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}
