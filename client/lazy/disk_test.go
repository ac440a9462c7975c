package lazy

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/cloudlets/cloudlets/extent"
)

const layerName = "sha256:content"

// disk is a disk that holds the files of a layer in their order, each at the
// beginning of a block.
type disk struct {
	*Disk
	*far
	want   []byte
	starts []int64 // of the files
}

func newDisk(t testing.TB, c *Cache, window int64, files ...int) *disk {
	t.Helper()
	d := &disk{far: newFar(t, 9, files...)}
	l := d.open(t, c)
	var b extent.Builder
	b.Inline([]byte("superblock"))
	off := int64(0)
	for _, n := range files {
		b.ZeroTo((b.Size() + 4095) &^ 4095)
		d.starts = append(d.starts, b.Size())
		b.Source(layerName, off, int64(n))
		off += int64(n)
	}
	b.Zero(1 << 20)
	m, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	d.Disk = NewDisk(context.Background(), m, only{l}, c, map[extent.Digest]*Layer{layerName: l}, window)
	d.want = make([]byte, m.Size())
	copy(d.want, "superblock")
	off = 0
	for i, n := range files {
		copy(d.want[d.starts[i]:], d.content[off:off+int64(n)])
		off += int64(n)
	}
	return d
}

// only opens one layer.
type only struct{ *Layer }

func (o only) OpenBlob(context.Context, extent.Digest) (extent.Blob, error) { return o, nil }
func (only) Close() error                                                   { return nil }

// readFile fetches a file, as a guest that reads it.
func (d *disk) readFile(t testing.TB, file int) {
	t.Helper()
	if err := d.Fetch(context.Background(), d.starts[file], 100); err != nil {
		t.Error(err)
	}
}

func TestADiskFetchesWhatIsRead(t *testing.T) {
	d := newDisk(t, openCache(t, "", 1<<30), 0, slices.Repeat([]int{5000}, 20)...)
	d.readFile(t, 3)
	d.readFile(t, 3)
	d.readFile(t, 11)
	if err := d.Fetch(context.Background(), 0, 10); err != nil { // inline
		t.Fatal(err)
	}
	if err := d.Fetch(context.Background(), d.Size()-100, 100); err != nil { // zeros
		t.Fatal(err)
	}
	if got := d.asked(); !slices.EqualFunc(got, [][]int{{3}, {11}}, slices.Equal) {
		t.Errorf("asked for %v", got)
	}
	checkRead(t, d, d.want, 0, len(d.want))
	if s := d.Stats(); s.Ahead != 0 || s.Bytes != d.index.StoredSize() {
		t.Errorf("%+v of %d", s, d.index.StoredSize())
	}
}

func TestSequentialReadsAreFetchedAheadUpToTheEndOfTheFile(t *testing.T) {
	const chunk = 128 << 10
	d := newDisk(t, openCache(t, "", 1<<30), 4*chunk, 16*chunk-100, 5000)
	for i := range int64(16) {
		if err := d.Fetch(context.Background(), d.starts[0]+i*chunk, chunk-100); err != nil {
			t.Fatal(err)
		}
	}
	asked := d.asked()
	if len(asked) > 12 {
		t.Errorf("%d requests for 16 frames: %v", len(asked), asked)
	}
	if all := slices.Concat(asked...); slices.Contains(all, 16) || len(all) != 16 {
		t.Errorf("asked for %v: the file has the frames 0 to 15", all)
	}
}

func TestReadsOfWhatIsAtHandAreFollowedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := Open("", 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		const chunk = 128 << 10
		d := newDisk(t, c, 4*chunk, 16*chunk)
		p := make([]byte, 4096)
		if err := d.Fetch(context.Background(), d.starts[0], int64(len(p))); err != nil {
			t.Fatal(err)
		}
		checkRead(t, d, d.want, int(d.starts[0]), len(p))
		off := d.starts[0]
		for ; off < d.starts[0]+16*chunk && d.ReadNow(p, off); off += int64(len(p)) {
			synctest.Wait() // for what is fetched ahead
		}
		if off < d.starts[0]+16*chunk {
			t.Errorf("%d bytes were at hand, asked for %v", off-d.starts[0], d.asked())
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestSmallFilesComeWithTheirNeighbours(t *testing.T) {
	files := slices.Repeat([]int{5000}, 20)
	files[6] = 1<<20 - 100
	d := newDisk(t, openCache(t, "", 1<<30), 1<<20, files...)
	d.readFile(t, 1)  // up to the large file
	d.readFile(t, 3)  // has come
	d.readFile(t, 6)  // a little more of it
	d.readFile(t, 7)  // eight more
	d.readFile(t, 16) // the last ones
	want := [][]int{{1, 2, 3, 4, 5}, {6, 7, 8, 9}, {14, 15, 16, 17, 18, 19, 20, 21, 22}, {23, 24, 25, 26}}
	if got := d.asked(); !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("asked for %v, want %v", got, want)
	}
}

func TestTheRestIsFetchedInOrderWhileNoReadWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := Open("", 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		d := newDisk(t, c, 0, slices.Repeat([]int{100 << 10}, 30)...)
		d.gate = make(chan struct{})
		go d.readFile(t, 29)
		synctest.Wait()
		d.Fill()
		synctest.Wait()
		if asked := d.asked(); len(asked) != 1 {
			t.Errorf("asked for %v while a read waits", asked)
		}
		close(d.gate)
		synctest.Wait()
		rest := d.asked()[1:] // two at a time, so that they may pass one another
		slices.SortFunc(rest, slices.Compare)
		if all := slices.Concat(rest...); len(all) != 29 || !slices.IsSorted(all) {
			t.Errorf("the order is %v", rest)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestATraceIsReplayed(t *testing.T) {
	files := slices.Repeat([]int{5000}, 40)
	recorded := newDisk(t, openCache(t, "", 1<<30), 0, files...)
	recorded.Record()
	for _, file := range []int{30, 4, 5, 6, 30, 20} {
		recorded.readFile(t, file)
	}
	var encoded bytes.Buffer
	if _, err := recorded.Recorded().WriteTo(&encoded); err != nil {
		t.Fatal(err)
	}
	trace, err := ReadTrace(&encoded)
	if err != nil {
		t.Fatal(err)
	}
	want := []Range{{0, 30 * 5000, 5000}, {0, 4 * 5000, 3 * 5000}, {0, 20 * 5000, 5000}}
	if !slices.Equal(trace.Ranges, want) {
		t.Errorf("recorded %v, want %v", trace.Ranges, want)
	}
	trace.Layers = append(trace.Layers, "sha256:another")
	trace.Ranges = append(trace.Ranges, Range{1, 0, 100})

	synctest.Test(t, func(t *testing.T) {
		c, err := Open("", 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		d := newDisk(t, c, 0, files...)
		d.Replay(trace)
		d.Fill()
		synctest.Wait()
		first := d.asked()[:maxAhead]
		if !slices.ContainsFunc(first, func(frames []int) bool { return slices.Equal(frames, []int{4, 5, 6, 20, 30}) }) {
			t.Errorf("first asked for %v", first)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestTracesAreChecked(t *testing.T) {
	for name, encoded := range map[string]string{
		"not JSON":               "trace",
		"a layer that is none":   `{"layers":["a"],"ranges":[[1,0,1]]}`,
		"a negative layer":       `{"layers":["a"],"ranges":[[-1,0,1]]}`,
		"a negative offset":      `{"layers":["a"],"ranges":[[0,-1,1]]}`,
		"no length":              `{"layers":["a"],"ranges":[[0,0,0]]}`,
		"an end beyond 2⁶³":      `{"layers":["a"],"ranges":[[0,9223372036854775807,9]]}`,
		"more than can be read":  strings.Repeat(" ", MaxTrace+1),
		"a number that is large": `{"layers":["a"],"ranges":[[0,99999999999999999999,9]]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ReadTrace(strings.NewReader(encoded)); !errors.Is(err, ErrTrace) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func FuzzReplay(f *testing.F) {
	f.Add([]byte(`{"layers":["sha256:content"],"ranges":[[0,0,5000],[0,7000,9000000000]]}`))
	f.Fuzz(func(t *testing.T, encoded []byte) {
		trace, err := ReadTrace(bytes.NewReader(encoded))
		if err != nil {
			return
		}
		c := openCache(t, "", 1<<20)
		newDisk(t, c, 0, 5000, 300000, 10).Replay(trace)
	})
}
