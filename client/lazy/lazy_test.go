package lazy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/extent"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// far is a layer far away.
type far struct {
	content []byte
	stored  []byte
	index   *frame.Index
	digest  extent.Digest // of the index

	gate  chan struct{} // nil, or what every request waits for
	fail  error         // of every request, after failAfter frames
	after int
	bad   int // a frame that comes damaged, or -1

	mu       sync.Mutex
	requests [][]int // the frames of each
}

// newFar makes a layer of files, each in frames of its own.
func newFar(t testing.TB, seed uint64, files ...int) *far {
	t.Helper()
	var stored bytes.Buffer
	w, err := frame.NewWriter(&stored)
	if err != nil {
		t.Fatal(err)
	}
	f := &far{bad: -1}
	r := rand.New(rand.NewPCG(seed, 1))
	for _, n := range files {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(r.IntN(16)) + 'a'
		}
		f.content = append(f.content, p...)
		if _, err := w.Write(p); err != nil {
			t.Fatal(err)
		}
		if err := w.Cut(); err != nil {
			t.Fatal(err)
		}
	}
	index, pos, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	f.stored, f.index, f.digest = stored.Bytes(), index, extent.Digest(pos.Digest)
	return f
}

// manyFiles are the sizes of small and large files.
func manyFiles(n int) []int {
	sizes := make([]int, n)
	for i := range sizes {
		sizes[i] = 100 + i*i*37%50000
	}
	sizes[n/2] = 700000
	return sizes
}

func (f *far) Frames(ctx context.Context, wanted frame.Set, each func(i int, stored []byte) error) error {
	var frames []int
	for i := range f.index.Len() {
		if wanted.Has(i) {
			frames = append(frames, i)
		}
	}
	f.mu.Lock()
	f.requests = append(f.requests, frames)
	f.mu.Unlock()
	if f.gate != nil {
		select {
		case <-f.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for n, i := range frames {
		if f.fail != nil && n == f.after {
			return f.fail
		}
		x := f.index.At(i)
		stored := slices.Clone(f.stored[x.Offset : x.Offset+x.Size])
		if i == f.bad {
			stored[len(stored)/2] ^= 1
		}
		if err := each(i, stored); err != nil {
			return err
		}
	}
	return nil
}

// asked returns the requests so far.
func (f *far) asked() [][]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

func openCache(t testing.TB, dir string, budget int64) *Cache {
	t.Helper()
	c, err := Open(dir, budget)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	})
	return c
}

func (f *far) open(t testing.TB, c *Cache) *Layer {
	t.Helper()
	l, err := c.Layer(f.digest, f.index, f)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func checkRead(t interface{ Fatalf(string, ...any) }, l io.ReaderAt, want []byte, off, n int) {
	p := make([]byte, n)
	got, err := l.ReadAt(p, int64(off))
	rest := want[min(off, len(want)):]
	if short := len(rest) < n; short != (err == io.EOF) || !short && err != nil {
		t.Fatalf("read %d at %d: %v", n, off, err)
	}
	if !bytes.Equal(p[:got], rest[:min(n, len(rest))]) {
		t.Fatalf("read %d at %d: the content differs", n, off)
	}
	clear(p)
	if l.(extent.NowReader).ReadNow(p, int64(off)) && !bytes.Equal(p, rest[:n]) {
		t.Fatalf("read %d at %d: the content at hand differs", n, off)
	}
}

func TestWhatIsHeldIsAtHand(t *testing.T) {
	f := newFar(t, 1, 1000, 2000)
	l := f.open(t, openCache(t, "", 1<<30))
	p := make([]byte, 500)
	if l.ReadNow(p, 100) {
		t.Error("content is at hand before it was fetched")
	}
	if _, err := l.ReadAt(p, 100); err != nil {
		t.Fatal(err)
	}
	if !l.ReadNow(p, 100) || !bytes.Equal(p, f.content[100:600]) {
		t.Error("content is not at hand after it was fetched")
	}
	if l.ReadNow(p, 700) || l.ReadNow(p, -1) {
		t.Error("content of the next frame is at hand, or what is before the first")
	}
	if got := f.asked(); !slices.EqualFunc(got, [][]int{{0}}, slices.Equal) {
		t.Errorf("asked for %v", got)
	}
}

func TestReadsGiveTheContentAndFetchItOnce(t *testing.T) {
	f := newFar(t, 1, manyFiles(100)...)
	l := f.open(t, openCache(t, "", 1<<30))
	rapid.Check(t, func(t *rapid.T) {
		off := rapid.IntRange(0, len(f.content)+10).Draw(t, "off")
		checkRead(t, l, f.content, off, rapid.IntRange(0, 300000).Draw(t, "n"))
	})
	checkRead(t, l, f.content, 0, len(f.content))
	if all := slices.Concat(f.asked()...); len(all) != f.index.Len() {
		t.Errorf("%d frames were fetched, there are %d", len(all), f.index.Len())
	}
}

func TestManyReadersOfASmallCache(t *testing.T) {
	f := newFar(t, 2, manyFiles(200)...)
	c := openCache(t, "", 1<<20)
	l := f.open(t, c)
	var readers sync.WaitGroup
	for seed := range uint64(8) {
		readers.Go(func() {
			r := rand.New(rand.NewPCG(seed, 2))
			for range 150 {
				checkRead(reporter{t}, l, f.content, r.IntN(len(f.content)), r.IntN(100000))
			}
		})
	}
	readers.Wait()
	if held := c.held.Load(); held > 1<<20 {
		t.Errorf("%d bytes are held, more than the budget", held)
	}
}

// reporter lets goroutines report.
type reporter struct{ t testing.TB }

func (r reporter) Fatalf(format string, args ...any) { r.t.Errorf(format, args...) }

func TestWhatIsEvictedLeavesTheFile(t *testing.T) {
	f := newFar(t, 3, manyFiles(300)...)
	dir := t.TempDir()
	c := openCache(t, dir, 1<<20)
	checkRead(t, f.open(t, c), f.content, 0, len(f.content))
	used := diskUsage(t, dir)
	if used > 3<<20 || int64(len(f.content)) < 4<<20 {
		t.Errorf("the cache occupies %d bytes for a budget of 1 MiB and %d bytes of content", used, len(f.content))
	}
}

func TestRequestsGatherWhileOthersAreUnderWay(t *testing.T) {
	f := newFar(t, 4, slices.Repeat([]int{1000}, 200)...)
	synctest.Test(t, func(t *testing.T) {
		c, err := Open("", 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		f.gate = make(chan struct{})
		l := f.open(t, c)
		for i := range 100 {
			go checkRead(reporter{t}, l, f.content, i*1000, 1000)
			synctest.Wait()
		}
		if n := len(f.asked()); n != maxRequests {
			t.Errorf("%d requests are under way, want %d", n, maxRequests)
		}
		close(f.gate)
		synctest.Wait()
		asked := f.asked()
		if len(asked) != maxRequests+1 || len(asked[maxRequests]) != 100-maxRequests {
			t.Errorf("%d requests were made for 100 frames", len(asked))
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestDamagedFramesAreNotServed(t *testing.T) {
	f := newFar(t, 5, 1000, 1000, 1000)
	f.bad = 1
	l := f.open(t, openCache(t, "", 1<<30))
	checkRead(t, l, f.content, 0, 1000)
	if _, err := l.ReadAt(make([]byte, 10), 1500); !errors.Is(err, frame.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
	f.bad = -1
	checkRead(t, l, f.content, 1500, 10) // as soon as it comes whole
}

func TestRequestsThatAreCutOffGoOn(t *testing.T) {
	f := newFar(t, 6, slices.Repeat([]int{1000}, 10)...)
	synctest.Test(t, func(t *testing.T) {
		c, err := Open("", 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		l := f.open(t, c)
		f.fail, f.after = errors.New("connection reset"), 3
		checkRead(t, l, f.content, 0, 9000)
		if asked := f.asked(); len(asked) != 3 || !slices.Equal(asked[2], []int{6, 7, 8}) {
			t.Errorf("asked for %v", asked)
		}
		f.after = 0
		if _, err := l.ReadAt(make([]byte, 10), 9500); err == nil || !strings.Contains(err.Error(), "connection reset") {
			t.Errorf("got %v", err)
		}
		if n := len(f.asked()); n != 3+attempts {
			t.Errorf("%d requests, want %d", n-3, attempts)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestACacheIsUsedAgain(t *testing.T) {
	f := newFar(t, 7, manyFiles(50)...)
	dir := t.TempDir()
	c := openCache(t, dir, 1<<30)
	checkRead(t, f.open(t, c), f.content, 0, len(f.content))
	if _, err := Open(dir, 1<<30); !errors.Is(err, ErrInUse) {
		t.Errorf("a second process: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	before := len(f.asked())

	// A frame is damaged meanwhile, and the journal cut short.
	damaged := f.index.At(7).ContentOffset
	edit(t, filepath.Join(dir, fileName(t, dir, ".content")), func(p []byte) []byte { p[damaged] ^= 1; return p })
	edit(t, filepath.Join(dir, fileName(t, dir, ".frames")), func(p []byte) []byte { return p[:len(p)-5] })

	c = openCache(t, dir, 1<<30)
	checkRead(t, f.open(t, c), f.content, 0, len(f.content))
	fetched := slices.Concat(f.asked()[before:]...)
	slices.Sort(fetched)
	if len(fetched) != 2 || fetched[0] != 7 {
		t.Errorf("frames %v were fetched again, want 7 and the last one", fetched)
	}
}

func TestCloseEndsReadsThatWait(t *testing.T) {
	f := newFar(t, 8, 1000)
	f.gate = make(chan struct{})
	c, err := Open("", 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	l := f.open(t, c)
	failed := make(chan error)
	go func() {
		_, err := l.ReadAt(make([]byte, 1), 0)
		failed <- err
	}()
	for len(f.asked()) == 0 {
		time.Sleep(time.Millisecond)
	}
	c.fetch.stop()
	if err := <-failed; err == nil {
		t.Error("the read has not failed")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func edit(t testing.TB, path string, change func([]byte) []byte) {
	t.Helper()
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(p), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fileName returns the name of the file with a suffix.
func fileName(t testing.TB, dir, suffix string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	return filepath.Base(found[0])
}

func TestLongRunsOfZerosAreNotFetchedAndStay(t *testing.T) {
	const zeros = 64 << 20
	var stored bytes.Buffer
	w, err := frame.NewWriter(&stored)
	if err != nil {
		t.Fatal(err)
	}
	f := &far{bad: -1, content: append(append([]byte("before"), make([]byte, zeros)...), bytes.Repeat([]byte("after"), 300000)...)}
	_, err = w.Write([]byte("before"))
	err = errors.Join(err, w.Zeros(zeros))
	_, writeErr := w.Write(f.content[len("before")+zeros:])
	index, pos, closeErr := w.Close()
	if err := errors.Join(err, writeErr, closeErr); err != nil {
		t.Fatal(err)
	}
	f.stored, f.index, f.digest = stored.Bytes(), index, extent.Digest(pos.Digest)
	c := openCache(t, "", 1<<20) // less than what follows, so that content is evicted
	l := f.open(t, c)
	for range 2 {
		checkRead(t, l, f.content, 0, len(f.content))
	}
	for _, frames := range f.asked() {
		for _, i := range frames {
			if index.At(i).ContentSize > frame.MaxContent {
				t.Fatalf("frame %d was fetched, which is zeros", i)
			}
		}
	}
	if c.held.Load() > 1<<20 {
		t.Errorf("%d bytes are held", c.held.Load())
	}
}

func TestLayersAreReadAheadForThoseWhoReadAll(t *testing.T) {
	f := newFar(t, 10, manyFiles(300)...)
	c := openCache(t, "", 1<<30)
	c.ReadAhead(1 << 20)
	l := f.open(t, c)
	for off := 0; off < len(f.content); off += 10000 {
		checkRead(t, l, f.content, off, min(10000, len(f.content)-off))
	}
	if n := len(f.asked()); n > 40 {
		t.Errorf("%d requests for %d bytes", n, len(f.content))
	}
	if all := slices.Concat(f.asked()...); len(all) != f.index.Len() {
		t.Errorf("%d frames were fetched, there are %d", len(all), f.index.Len())
	}
}
