package client

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/image"
)

// cuts is a way to serve a blob whose answers are cut off after some bytes, but for
// every fourth. The first end within the index of a layer.
func cuts() func(w http.ResponseWriter, r *http.Request, blob []byte) {
	var n atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, blob []byte) {
		if asked := n.Add(1); asked%4 != 0 {
			w = &cutWriter{w, int(asked) * 7_919 % 50_000}
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(blob))
	}
}

// cutWriter hangs up once it has sent so many bytes.
type cutWriter struct {
	http.ResponseWriter
	left int
}

func (w *cutWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p[:min(len(p), w.left)])
	if w.left -= n; err == nil && n < len(p) {
		err = http.NewResponseController(w.ResponseWriter).Flush()
		if err == nil {
			panic(http.ErrAbortHandler)
		}
	}
	return n, err
}

func (w *cutWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func TestLayersGoOnWhereTheyAreCutOff(t *testing.T) {
	want := files()
	blob, content, d := tarOf(t, want)
	t.Run("near", func(t *testing.T) {
		l := newPlainRegistry(t, blob, cuts()).openNear(t, d)
		checkContent(t, l, content, 0, len(content))
	})
	t.Run("without a cache", func(t *testing.T) {
		r := newPlainRegistry(t, blob, cuts())
		l, _, err := r.openPieces(t.Context(), d, OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		tree, err := image.Merge([]image.Layer{{Digest: "l", Tar: l, Size: l.Size()}})
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range []string{"dir0/file0", "dir1/file1", "dir9/file299"} {
			got, err := tree.Lookup(name).Read(t.Context(), only{l}, 1<<20)
			if err != nil || !bytes.Equal(got, want[name]) {
				t.Fatalf("%d: %s differs: %v", i, name, err)
			}
		}
	})
	t.Run("whole", func(t *testing.T) {
		r := newPlainRegistry(t, blob, cuts())
		var got bytes.Buffer
		if err := r.PullBlob(t.Context(), d, &got); err != nil || !bytes.Equal(got.Bytes(), blob) {
			t.Errorf("%d of %d bytes, %v", got.Len(), len(blob), err)
		}
	})
	t.Run("decompressed", func(t *testing.T) {
		r := newPlainRegistry(t, blob, cuts())
		var got bytes.Buffer
		if err := r.PullLayer(t.Context(), d, digest.FromBytes(content), &got); err != nil || !bytes.Equal(got.Bytes(), content) {
			t.Errorf("%d of %d bytes, %v", got.Len(), len(content), err)
		}
	})
}

// A registry that serves no parts cannot be asked for what is left, and one that
// sends nothing is not asked for ever.
func TestWhatIsCutOffForGoodIsSaidToBe(t *testing.T) {
	blob, _, d := tarOf(t, files())
	whole := newPlainRegistry(t, blob, func(w http.ResponseWriter, _ *http.Request, blob []byte) {
		w.Header().Set("Content-Length", "100000000")
		_, _ = w.Write(blob[:1000])
	})
	d.Size = 100_000_000
	if err := whole.PullBlob(t.Context(), d, io.Discard); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("whole: %v", err)
	}
	d.Size = int64(len(blob))
	silent := newPlainRegistry(t, blob, func(w http.ResponseWriter, r *http.Request, blob []byte) {
		http.ServeContent(&cutWriter{w, 0}, r, "", time.Time{}, bytes.NewReader(blob))
	})
	if _, err := silent.openFramed(t.Context(), d); err == nil || silent.asked.Load() > 12 {
		t.Errorf("silent: %v after %d requests", err, silent.asked.Load())
	}
}

// A proxy that is busy, or restarts, says so: what it is asked for is asked again.
func TestRequestsAreMadeAgainWhereARegistryIsBusy(t *testing.T) {
	blob, content, d := tarOf(t, files())
	var n atomic.Int64
	r := newPlainRegistry(t, blob, func(w http.ResponseWriter, r *http.Request, blob []byte) {
		if n.Add(1)%2 == 1 {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(blob))
	})
	var p [100]byte
	if _, err := r.readBlobAt(t.Context(), d, p[:], 5); err != nil || n.Load() != 2 || !bytes.Equal(p[:], blob[5:105]) {
		t.Errorf("%v after %d requests", err, n.Load())
	}
	l := r.openNear(t, d)
	checkContent(t, l, content, 0, len(content))
}

// Damage is not repaired by asking again.
func TestDamageIsNotAskedForAgain(t *testing.T) {
	blob, _, d := diskOf(t)
	blob[1000] ^= 1
	r := newPlainRegistry(t, blob, ways["many ranges in a request"])
	l := r.openNear(t, d)
	before := r.asked.Load()
	if _, err := l.ReadAt(make([]byte, 10), 0); !errors.Is(err, frame.ErrCorrupt) || r.asked.Load() != before+1 {
		t.Errorf("%v after %d requests", err, r.asked.Load()-before)
	}
}
