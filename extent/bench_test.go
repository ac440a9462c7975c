package extent

import (
	"context"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
)

// million is a map of a million extents, as a disk of 100,000 files and their
// metadata might have at the worst.
func million(tb testing.TB) *Map {
	var b Builder
	for i := range int64(1e6 / 4) {
		b.Source("sha256:aa", i*8192, 5000)
		b.Zero(3192)
		b.Source("sha256:bb", i*100, 512)
		b.Inline([]byte("metadata"))
	}
	m, err := b.Build()
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func BenchmarkFindInAMillionExtents(b *testing.B) {
	m := million(b)
	r := rand.New(rand.NewPCG(1, 2))
	for b.Loop() {
		if m.Find(r.Int64N(m.Size())) == m.Len() {
			b.Fatal("not found")
		}
	}
}

func BenchmarkEncodeAndDecodeAMillionExtents(b *testing.B) {
	m := million(b)
	for b.Loop() {
		encoded := m.Encode()
		b.ReportMetric(float64(len(encoded)), "bytes")
		if _, err := Decode(encoded); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadAtOfInlineBytes(b *testing.B) {
	m := million(b)
	r := NewReader(context.Background(), m, nil)
	p := make([]byte, 8)
	for b.Loop() {
		if _, err := r.ReadAt(p, 8192+512); err != nil {
			b.Fatal(err)
		}
	}
}

// allocated returns how many bytes of storage a file occupies.
func allocated(tb testing.TB, f *os.File) int64 {
	info, err := f.Stat()
	if err != nil {
		tb.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}
