package container

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

func TestRunsAreTheGrainsWithData(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blobs := convertertest.Blobs{}
		disk := convertertest.DrawMap(t, blobs, 1<<20)
		grain := rapid.SampledFrom([]int64{512, 4096, 10_000}).Draw(t, "grain")
		runs := Runs(disk, grain)
		held := make(map[int64]bool)
		for i, r := range runs {
			if r.Count < 1 || i > 0 && r.First <= runs[i-1].End() {
				t.Fatalf("runs %v: empty, touching or out of order", runs)
			}
			for n := r.First; n < r.End(); n++ {
				held[n] = true
			}
		}
		for n := range DivideUp(disk.Size(), grain) {
			_, _, data := disk.NextData(n * grain)
			start, _, _ := disk.NextData(n * grain)
			if want := data && start < (n+1)*grain; held[n] != want {
				t.Fatalf("grain %d of %d bytes: in a run is %v, has data is %v", n, grain, held[n], want)
			}
		}
	})
}

func TestRangesFindWhatIsUsedTwice(t *testing.T) {
	tests := []struct {
		name   string
		ranges Ranges
		ok     bool
	}{
		{"apart", Ranges{{"a", 0, 10, false}, {"b", 10, 20, false}}, true},
		{"one over the other", Ranges{{"a", 0, 11, false}, {"b", 10, 20, false}}, false},
		{"two that share", Ranges{{"a", 0, 20, true}, {"b", 10, 20, true}}, true},
		{"one that does not share", Ranges{{"a", 0, 20, true}, {"b", 10, 20, false}}, false},
		{"behind a shorter one", Ranges{{"a", 0, 100, false}, {"b", 10, 20, true}}, false},
		{"far behind", Ranges{{"a", 0, 100, true}, {"b", 10, 20, true}, {"c", 90, 95, false}}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := test.ranges.Check(); (err == nil) != test.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestFileRefusesWhatLiesOutside(t *testing.T) {
	f := File{Reader: bytes.NewReader(make([]byte, 100)), Size: 100}
	for _, test := range []struct {
		off uint64
		n   int64
		ok  bool
	}{{0, 100, true}, {100, 0, true}, {99, 2, false}, {101, 0, false}, {1 << 63, 1, false}, {1<<64 - 1, 1 << 62, false}, {0, -1, false}} {
		if _, err := f.Bytes("table", test.off, test.n); (err == nil) != test.ok || err != nil && !errors.Is(err, ErrFormat) {
			t.Errorf("%d bytes at %d: %v", test.n, test.off, err)
		}
	}
}

// invert is a compression that compresses nothing.
func invert(dst, stored []byte) error {
	for i := range stored {
		stored[i] ^= 0xff
	}
	return Decompress(dst, bytes.NewReader(stored))
}

func TestUnitsReadAsOneBlob(t *testing.T) {
	content := []byte("The first unit. And the second one, which is shorter")
	file := slices.Clone(content)
	for i := range file {
		file[i] ^= 0xff
	}
	const size = 16
	u := NewUnits(bytes.NewReader(file), size, invert)
	for off := 0; off < len(file); off += size {
		n := min(size, len(file)-off)
		if at := u.Add(int64(off), n, n); at != int64(off) {
			t.Fatalf("the unit at %d stands at %d", off, at)
		}
	}
	var readers sync.WaitGroup
	for off := range content {
		readers.Go(func() {
			got := make([]byte, len(content)-off)
			if err := ReadFull(u, got, int64(off)); err != nil || !bytes.Equal(got, content[off:]) {
				t.Errorf("read at %d: %q, %v", off, got, err)
			}
		})
	}
	readers.Wait()
	if _, err := u.ReadAt(make([]byte, 1), int64(len(content))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("reading beyond the content of a unit: %v", err)
	}
	if _, err := u.ReadAt(make([]byte, 1), u.Size()); !errors.Is(err, io.EOF) {
		t.Errorf("reading beyond the end: %v", err)
	}
}

func TestUnitsTellWhatCannotBeDecoded(t *testing.T) {
	u := NewUnits(bytes.NewReader(make([]byte, 10)), 16, invert)
	u.Add(0, 10, 16) // ten bytes do not make sixteen
	u.Add(5, 10, 16) // the file ends before
	for _, off := range []int64{0, 16} {
		if _, err := u.ReadAt(make([]byte, 16), off); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("unit at %d: %v", off, err)
		}
	}
}

func TestTableLeavesOutWhatIsSkipped(t *testing.T) {
	var b extent.Builder
	table := NewTable(&b, binary.BigEndian)
	table.Uint16(1)
	table.SkipTo(10)
	table.Uint32(2)
	table.SkipTo(1 << 30)
	table.Uint64(3)
	table.Close(1<<30 + 100)
	m, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	if m.Size() != 1<<30+100 || m.InlineSize() != 14+8 {
		t.Errorf("%d bytes, %d of them inline", m.Size(), m.InlineSize())
	}
}
