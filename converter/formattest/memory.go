package formattest

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

// What readers may take of memory, in bytes, whatever a file says: so many for
// each piece of the disk, with the tables it has to itself, and so many in all.
const (
	MaxPieceMemory = 200
	MaxMemory      = 1 << 30
)

// CheckMemory fails the test if f has more than limit bytes in use at any time
// beyond what was in use before. It knows what collections of garbage found in
// use, which run whenever there is a quarter more.
func CheckMemory(t testing.TB, limit int64, f func()) {
	t.Helper()
	if peak := peakMemory(f); peak > limit {
		t.Errorf("it took %d MiB of memory, want at most %d", peak>>20, limit>>20)
	} else {
		t.Logf("it took %d of %d MiB", peak>>20, limit>>20)
	}
}

func peakMemory(f func()) int64 {
	defer debug.SetGCPercent(debug.SetGCPercent(25))
	runtime.GC()
	before, peak := inUse(), int64(0)
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			peak = max(peak, inUse())
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	}()
	f()
	close(done)
	<-stopped
	return max(peak, inUse()) - before
}

// inUse returns how many bytes the last collection found in use.
func inUse() int64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}

// testMemory opens a disk in many pieces: it is filled in every other place.
func (f Format) testMemory(t *testing.T) {
	const pieces, stride = 100_000, 4 << 20 // bytes: no grain is larger than half of it
	disk := convertertest.Build(t, func(b *extent.Builder) {
		for i := range int64(pieces) {
			b.Source("sha256:zeros", i*stride, stride/2)
			b.Zero(stride / 2)
		}
	})
	file, err := f.Write(disk)
	if err != nil {
		t.Fatal(err)
	}
	r := extent.NewReader(t.Context(), file, zeros{})
	defer func() { _ = r.Close() }()
	CheckMemory(t, 8*mib+pieces*MaxPieceMemory, func() {
		if _, err := f.Open(r, file.Size(), Source); err != nil {
			t.Error(err)
		}
	})
}

// CheckHostileMemory is [Format.CheckOpen] for a file that asks for as much memory
// as it can: it must not get more than there is for all.
func (f Format) CheckHostileMemory(t *testing.T, file []byte, want error) {
	t.Helper()
	CheckMemory(t, MaxMemory, func() { f.CheckOpen(t, file, want) })
}

// zeros opens blobs that are zero everywhere.
type zeros struct{}

func (zeros) OpenBlob(context.Context, extent.Digest) (extent.Blob, error) { return zeros{}, nil }

func (zeros) Size() int64  { return 1 << 62 }
func (zeros) Close() error { return nil }

func (zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}
