package extent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// memory opens blobs that are byte slices.
type memory map[Digest][]byte

func (m memory) OpenBlob(_ context.Context, d Digest) (Blob, error) {
	b, ok := m[d]
	if !ok {
		return nil, fmt.Errorf("no blob %s", d)
	}
	return memoryBlob{bytes.NewReader(b)}, nil
}

type memoryBlob struct{ *bytes.Reader }

func (memoryBlob) Close() error { return nil }

var blobs = memory{
	"sha256:aa": pattern(3000, 1),
	"sha256:bb": pattern(5000, 7),
}

func pattern(n, step int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*step>>3) ^ byte(i) | 1
	}
	return b
}

// sample is a map and the bytes it should read as.
type sample struct {
	m    *Map
	want []byte
}

// anySample draws a map together with its content.
func anySample(t *rapid.T) sample {
	var b Builder
	var want []byte
	for range rapid.IntRange(0, 12).Draw(t, "extents") {
		e := anyExtent(t)
		b.Extent(e)
		want = append(want, content(e)...)
	}
	m, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return sample{m, want}
}

func anyExtent(t *rapid.T) Extent {
	switch Kind(rapid.IntRange(0, 2).Draw(t, "kind")) {
	case Zero:
		return Extent{Length: rapid.Int64Range(0, 3*minHole/2).Draw(t, "zeros")}
	case Inline:
		data := rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "inline")
		return Extent{Kind: Inline, Length: int64(len(data)), Data: data}
	}
	d := rapid.SampledFrom([]Digest{"sha256:aa", "sha256:bb"}).Draw(t, "digest")
	size := int64(len(blobs[d]))
	off := rapid.Int64Range(0, size).Draw(t, "offset")
	return Extent{Kind: Source, Digest: d, Offset: off, Length: rapid.Int64Range(0, size-off).Draw(t, "length")}
}

func content(e Extent) []byte {
	switch e.Kind {
	case Inline:
		return e.Data
	case Source:
		return blobs[e.Digest][e.Offset : e.Offset+e.Length]
	}
	return make([]byte, e.Length)
}

func read(t interface{ Fatal(...any) }, m *Map) []byte {
	var out bytes.Buffer
	n, err := NewReader(context.Background(), m, blobs).WriteTo(&out)
	if err != nil {
		t.Fatal(err)
	}
	if n != m.Size() {
		t.Fatal("WriteTo wrote", n, "of", m.Size())
	}
	return out.Bytes()
}

func TestMapReadsAsTheBytesItWasBuiltFrom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySample(t)
		if !bytes.Equal(read(t, s.m), s.want) {
			t.Fatal("stream differs")
		}
		off := rapid.IntRange(0, len(s.want)+5).Draw(t, "at")
		p := make([]byte, rapid.IntRange(0, 2000).Draw(t, "n"))
		n, err := NewReader(context.Background(), s.m, blobs).ReadAt(p, int64(off))
		want := s.want[min(off, len(s.want)):min(off+len(p), len(s.want))]
		if !bytes.Equal(p[:n], want) {
			t.Fatalf("ReadAt(%d, %d) differs", len(p), off)
		}
		if (n < len(p)) != (err == io.EOF) || err != nil && err != io.EOF {
			t.Fatalf("ReadAt gave %d of %d bytes and %v", n, len(p), err)
		}
	})
}

func TestComposition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anySample(t), anySample(t)
		both, err := Concat(a.m, b.m)
		if err != nil {
			t.Fatal(err)
		}
		joined := slices.Concat(a.want, b.want)
		if !bytes.Equal(read(t, both), joined) {
			t.Fatal("concatenation differs")
		}
		off := rapid.IntRange(0, len(joined)).Draw(t, "off")
		n := rapid.IntRange(0, len(joined)-off).Draw(t, "n")
		part, err := Slice(both, int64(off), int64(n))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(read(t, part), joined[off:off+n]) {
			t.Fatal("slice differs")
		}
		at := rapid.IntRange(0, len(a.want)+100).Draw(t, "overlay at")
		over, err := Overlay(a.m, int64(at), b.m)
		if err != nil {
			t.Fatal(err)
		}
		want := slices.Clone(a.want)
		want = append(want, make([]byte, max(0, at+len(b.want)-len(want)))...)
		copy(want[at:], b.want)
		if !bytes.Equal(read(t, over), want) {
			t.Fatal("overlay differs")
		}
	})
}

func TestExtentsCoverTheMapAndAreJoined(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anySample(t).m
		at := int64(0)
		var last Extent
		for start, e := range m.All() {
			if start != at || e.Length <= 0 {
				t.Fatalf("extent of %d bytes at %d, expected at %d", e.Length, start, at)
			}
			contiguous := e.Kind == Source && e.Digest == last.Digest && e.Offset == last.Offset+last.Length
			if start > 0 && e.Kind == last.Kind && (e.Kind != Source || contiguous) {
				t.Fatalf("extents at %d could have been one", start)
			}
			at, last = start+e.Length, e
		}
		if at != m.Size() {
			t.Fatalf("extents end at %d of %d", at, m.Size())
		}
	})
}

func TestNextDataSkipsZeroExtentsOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anySample(t).m
		covered := make([]bool, m.Size())
		for off := int64(0); ; {
			start, end, ok := m.NextData(off)
			if !ok {
				break
			}
			for i := start; i < end; i++ {
				covered[i] = true
			}
			off = end
		}
		var data int64
		for start, e := range m.All() {
			for i := start; i < start+e.Length; i++ {
				if covered[i] != (e.Kind != Zero) {
					t.Fatalf("byte %d is in a %s extent; covered: %v", i, e.Kind, covered[i])
				}
			}
			if e.Kind != Zero {
				data += e.Length
			}
		}
		if m.DataSize() != data {
			t.Fatalf("DataSize is %d, extents have %d", m.DataSize(), data)
		}
	})
}

func TestWriteSparseLeavesHoles(t *testing.T) {
	var b Builder
	b.Zero(64 << 20)
	b.Source("sha256:aa", 10, 1000)
	b.Zero(64 << 20)
	b.Inline([]byte("end"))
	b.Zero(1 << 20)
	m, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "sparse")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := NewReader(context.Background(), m, blobs).WriteSparse(f); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, read(t, m)) {
		t.Fatal("the file differs")
	}
	if used := allocated(t, f); used > 1<<20 {
		t.Errorf("a file with 1003 bytes of data occupies %d bytes", used)
	}
}

func TestBuilderRefusesWhatCannotBe(t *testing.T) {
	small, err := Slice(new(Map), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, build := range map[string]func(*Builder){
		"a negative length":           func(b *Builder) { b.Zero(-1) },
		"a map beyond 2⁶³-1 bytes":    func(b *Builder) { b.Zero(math.MaxInt64); b.Inline([]byte{1}) },
		"a negative offset":           func(b *Builder) { b.Source("sha256:aa", -1, 1) },
		"a source that overflows":     func(b *Builder) { b.Source("sha256:aa", math.MaxInt64, 1) },
		"a source without a digest":   func(b *Builder) { b.Source("", 0, 1) },
		"a slice beyond its map":      func(b *Builder) { b.Slice(small, 0, 1) },
		"padding backwards":           func(b *Builder) { b.Zero(2); b.ZeroTo(1) },
		"an inline extent too short":  func(b *Builder) { b.Extent(Extent{Kind: Inline, Length: 2, Data: []byte{1}}) },
		"an extent of unknown kind":   func(b *Builder) { b.Extent(Extent{Kind: 9, Length: 1}) },
		"a mistake before good calls": func(b *Builder) { b.Zero(-1); b.Zero(1) },
	} {
		t.Run(name, func(t *testing.T) {
			var b Builder
			build(&b)
			if m, err := b.Build(); !errors.Is(err, ErrRange) {
				t.Errorf("got %v and %v", m, err)
			}
		})
	}
}

func TestReaderSaysWhichBlobFailed(t *testing.T) {
	for name, c := range map[string]struct {
		digest Digest
		length int64
		want   string
	}{
		"a blob that is missing":   {"sha256:cc", 1, "open blob sha256:cc: no blob"},
		"a blob that is too short": {"sha256:aa", 4000, "sha256:aa at 0: it ends at 3000"},
	} {
		t.Run(name, func(t *testing.T) {
			var b Builder
			b.Source(c.digest, 0, c.length)
			m, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			r := NewReader(context.Background(), m, blobs)
			_, err = r.WriteTo(io.Discard)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if _, err := r.ReadAt(make([]byte, 1), 0); err == nil {
				t.Error("a closed reader reads")
			}
		})
	}
}

func TestStreamStopsWithItsContextAndItsWriter(t *testing.T) {
	var b Builder
	for range 200 {
		b.Source("sha256:aa", 0, 3000)
		b.Zero(2 * minHole)
	}
	m, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := NewReader(ctx, m, blobs)
	broken := errors.New("broken pipe")
	n := 0
	_, err = r.WriteTo(writerFunc(func(p []byte) (int, error) {
		if n++; n == 20 {
			return 0, broken
		}
		return len(p), nil
	}))
	if !errors.Is(err, broken) {
		t.Errorf("the writer's error came back as %v", err)
	}
	cancel()
	if _, err := r.WriteTo(io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled stream gave %v", err)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// zeroCounter is a writer that need not be handed zeros.
type zeroCounter struct {
	bytes.Buffer
	zeros int64
}

func (w *zeroCounter) WriteZeros(n int64) (int64, error) {
	w.zeros += n
	return n, nil
}

func TestZerosAreNotWrittenOutToWhoTakesTheirNumber(t *testing.T) {
	const size = 1 << 62
	var b Builder
	b.Inline([]byte("begin"))
	b.ZeroTo(size)
	b.Inline([]byte("end"))
	m, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	var out zeroCounter
	n, err := NewReader(t.Context(), m, nil).WriteTo(&out)
	if err != nil || n != size+3 || out.zeros != size-5 || out.String() != "beginend" {
		t.Errorf("%d bytes, %d of them zeros, data %q, %v", n, out.zeros, out.String(), err)
	}
}
