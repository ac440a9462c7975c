package s3_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/s3"
	"github.com/cloudlets/cloudlets/blobstore/s3/s3test"
)

func get(t *testing.T, url string) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantRequests(t *testing.T, got s3test.Counts, want map[string]int) {
	t.Helper()
	if !maps.Equal(got.Requests, want) {
		t.Errorf("got requests %v, want %v", got.Requests, want)
	}
}

// TestBytesMoveOnce counts what writing costs beyond the object's own bytes.
func TestBytesMoveOnce(t *testing.T) {
	const mib = 1 << 20
	for name, c := range map[string]struct {
		size     int
		final    bool // the length is known, as it is for POST and PUT
		save     bool // PATCH, then PUT without a body
		requests map[string]int
	}{
		"small, at once":       {1000, true, false, map[string]int{"PutObject": 1, "PutLabel": 1}},
		"small, saved between": {1000, false, true, map[string]int{"PutObject": 1, "HeadObject": 1, "PutLabel": 1}},
		"one part":             {8 * mib, true, false, map[string]int{"PutObject": 1, "PutLabel": 1}},
		"a part and a bit":     {8*mib + 1, true, false, map[string]int{"PutObject": 1, "PutLabel": 1}},
		"large, at once": {42*mib + 7, true, false,
			map[string]int{"CreateMultipartUpload": 1, "UploadPart": 5, "CompleteMultipartUpload": 1, "PutLabel": 1}},
		"large, saved between": {42*mib + 7, false, true,
			map[string]int{"CreateMultipartUpload": 1, "UploadPart": 5, "CompleteMultipartUpload": 1, "PutLabel": 1}},
		"large, of whole parts": {40 * mib, false, true,
			map[string]int{"CreateMultipartUpload": 1, "UploadPart": 5, "CompleteMultipartUpload": 1, "PutLabel": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			d := p.driver(t)
			content := random(c.size)
			w := create(t, d, nil)
			if c.final {
				if err := w.Expect(int64(c.size), true); err != nil {
					t.Fatal(err)
				}
			}
			write(t, w, content)
			if c.save {
				point := save(t, w)
				w.Close()
				w = resume(t, d, point)
			}
			key := seal(t, w, content)
			counts := p.proxy.Take()
			wantRequests(t, counts, c.requests)
			moved := counts.In + counts.Out
			if beyond := moved - int64(c.size); beyond > max(int64(c.size)/100, 4096) {
				t.Errorf("%d bytes moved for %d: %d beyond", moved, c.size, beyond)
			}
			expect(t, d, key, content)
		})
	}
}

// TestChunksMoveFewBytes counts what chunks that make no part cost.
func TestChunksMoveFewBytes(t *testing.T) {
	p := newPlace(t)
	content := random(12 << 20)
	var point blobstore.Point
	w := create(t, p.driver(t), nil)
	for off := 0; off < len(content); off += 1 << 20 {
		write(t, w, content[off:off+1<<20])
		point = save(t, w)
		w.Close()
		w = resume(t, p.driver(t), point)
	}
	expect(t, p.driver(t), seal(t, w, content), content)
	for o, err := range p.driver(t).List(t.Context()) {
		if err != nil || !o.Sealed || o.Size != int64(len(content)) {
			t.Errorf("listed %+v (%v)", o, err)
		}
	}
}

func TestManyTinyChunks(t *testing.T) {
	p := newPlace(t)
	d := p.driver(t)
	var content []byte
	w := create(t, d, nil)
	for i := range 150 {
		content = append(content, byte(i), byte(i))
		write(t, w, content[2*i:])
		point := save(t, w)
		w.Close()
		w = resume(t, d, point)
	}
	expect(t, d, seal(t, w, content), content)
}

func TestReadingInOrderAsksForLargeRanges(t *testing.T) {
	p := newPlace(t, func(c *s3.Config) { c.CacheSize = 64 << 20 })
	d := p.driver(t)
	content := random(40 << 20)
	key := seal(t, create(t, d, content), content)
	p.proxy.Take()
	b, err := d.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	if err != nil || !bytes.Equal(got, content) {
		t.Fatalf("read %d bytes, %v", len(got), err)
	}
	counts := p.proxy.Take()
	if n := counts.Requests["GetObject"]; n > 12 {
		t.Errorf("%d requests for %d bytes", n, len(content))
	}
	if counts.Out > int64(len(content))*101/100 {
		t.Errorf("%d bytes were read for %d", counts.Out, len(content))
	}

	if _, err := b.(io.WriterTo).WriteTo(io.Discard); err != nil {
		t.Fatal(err)
	}
	wantRequests(t, p.proxy.Take(), map[string]int{"GetObject": 1})
}

func TestReadingAtRandomAsksForLittle(t *testing.T) {
	p := newPlace(t)
	d := p.driver(t)
	content := random(40 << 20)
	key := seal(t, create(t, d, content), content)
	p.proxy.Take()
	b, err := d.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	r := rand.New(rand.NewPCG(1, 2))
	var all sync.WaitGroup
	for range 8 {
		off := 20<<20 + r.IntN(1<<20)
		all.Go(func() {
			got := make([]byte, 5000)
			for range 10 { // the same again
				if _, err := b.ReadAt(got, int64(off)); err != nil || !bytes.Equal(got, content[off:off+len(got)]) {
					t.Errorf("at %d: %v", off, err)
				}
			}
		})
	}
	all.Wait()
	d.Close() // what is read ahead
	if counts := p.proxy.Take(); counts.Out > 12<<20 {
		t.Errorf("%d bytes were read in %v", counts.Out, counts.Requests)
	}
}

func TestRemovedObjectFailsCleanly(t *testing.T) {
	p := newPlace(t, func(c *s3.Config) { c.CacheSize = 1 })
	d := p.driver(t)
	content := random(3 << 20)
	key := seal(t, create(t, d, content), content)
	b, err := d.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := p.driver(t).Remove(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, err := b.ReadAt(make([]byte, 10), 0); !errors.Is(err, blobstore.ErrNotFound) {
		t.Errorf("ReadAt gave %v", err)
	}
	if _, err := b.(io.WriterTo).WriteTo(io.Discard); !errors.Is(err, blobstore.ErrNotFound) {
		t.Errorf("WriteTo gave %v", err)
	}
}

// TestFaultsAreRetried stores and reads objects through a server that fails at
// random.
func TestFaultsAreRetried(t *testing.T) {
	p := newPlace(t)
	d := p.driver(t)
	var asked atomic.Int64
	p.proxy.Fail(func(*http.Request) s3test.Fault {
		if n := asked.Add(1); n%3 == 0 {
			return s3test.Fault(1 + n/3%4)
		}
		return s3test.None
	})
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			content := random(14<<20 + i)
			w := create(t, d, content[:7<<20])
			point := save(t, w)
			w.Close()
			w = resume(t, d, point)
			write(t, w, content[7<<20:])
			expect(t, d, seal(t, w, content), content)
		})
	}
	all.Wait()
	if asked.Load() < 3*4*3 {
		t.Errorf("only %d requests", asked.Load())
	}
}

// TestBusyServerIsSaidToBe lets all requests fail.
func TestBusyServerIsSaidToBe(t *testing.T) {
	p := newPlace(t, func(c *s3.Config) { c.Attempts = 2 })
	d := p.driver(t)
	w := create(t, d, random(10))
	p.proxy.Fail(func(*http.Request) s3test.Fault { return s3test.Busy })
	if _, err := w.Save(t.Context()); !errors.Is(err, blobstore.ErrBusy) {
		t.Errorf("got %v", err)
	}
}

// TestAnswerLostWhileCompleting loses the answer to the request that completes
// an upload: the next one finds no upload, and the object there.
func TestAnswerLostWhileCompleting(t *testing.T) {
	p := newPlace(t)
	d := p.driver(t)
	content := random(20 << 20)
	w := create(t, d, content)
	lost := false
	p.proxy.Fail(func(r *http.Request) s3test.Fault {
		if !lost && s3test.Operation(r) == "CompleteMultipartUpload" {
			lost = true
			return s3test.LostOut
		}
		return s3test.None
	})
	expect(t, d, seal(t, w, content), content)
	if !lost {
		t.Error("no answer was lost")
	}
}
