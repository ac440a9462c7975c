package container

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
)

func TestLayoutIsTheDisk(t *testing.T) {
	file := []byte("tableAAAAbbbbDDDDC")
	for i := range file[9:13] { // what is compressed
		file[9+i] ^= 0xff
	}
	l := Layout{File: File{bytes.NewReader(file), int64(len(file))}, Size: 5*4 + 1, Grain: 4}
	for _, err := range []error{
		l.Use("table", 0, 5), l.Add(3, 13), l.AddPacked(1, 9, 4), l.Add(0, 5), l.Add(5, 17),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	disk, err := l.Disk("sha256:file", invert)
	if err != nil {
		t.Fatal(err)
	}
	r := disk.NewReader(t.Context(), "sha256:file", convertertest.Blob(file))
	defer func() { _ = r.Close() }()
	got := make([]byte, disk.Map.Size())
	if err := ReadFull(r, got, 0); err != nil || string(got) != "AAAAbbbb\x00\x00\x00\x00DDDD\x00\x00\x00\x00C" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestLayoutRefusesWhatCannotBe(t *testing.T) {
	tests := []struct {
		name string
		fill func(l *Layout) error
		ok   bool
	}{
		{"nothing", func(*Layout) error { return nil }, true},
		{"grains in any order", func(l *Layout) error { return errors.Join(l.Add(2, 0), l.Add(0, 16)) }, true},
		{"grain outside the disk", func(l *Layout) error { return l.Add(3, 0) }, false},
		{"negative grain", func(l *Layout) error { return l.Add(-1, 0) }, false},
		{"grain outside the file", func(l *Layout) error { return l.Add(0, 93) }, false},
		{"the last grain, where the disk ends in it", func(l *Layout) error { return l.Add(2, 99) }, true},
		{"grain far outside", func(l *Layout) error { return l.Add(0, 1<<63) }, false},
		{"grain over a table", func(l *Layout) error { return errors.Join(l.Use("table", 0, 10), l.Add(0, 8)) }, false},
		{"grains over each other", func(l *Layout) error { return errors.Join(l.Add(0, 0), l.Add(1, 4)) }, false},
		{"grain twice", func(l *Layout) error { return errors.Join(l.Add(0, 0), l.Add(0, 50)) }, false},
		{"grain twice, the second among others", func(l *Layout) error { return errors.Join(l.Add(0, 0), l.Add(1, 8), l.Add(1, 50)) }, false},
		{"compressed to nothing", func(l *Layout) error { return l.AddPacked(0, 0, 0) }, false},
		{"compressed to too much", func(l *Layout) error { return l.AddPacked(0, 0, 17) }, false},
		{"compressed outside", func(l *Layout) error { return l.AddPacked(0, 95, 6) }, false},
		{"tables over each other", func(l *Layout) error {
			return errors.Join(l.Use("table", 0, 10), l.Use("table", 9, 10), l.CheckTables())
		}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := &Layout{File: File{bytes.NewReader(make([]byte, 100)), 100}, Size: 17, Grain: 8}
			err := test.fill(l)
			if err == nil {
				_, err = l.Disk("sha256:file", invert)
			}
			if (err == nil) != test.ok || err != nil && !errors.Is(err, ErrFormat) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// A small table must not fill memory by naming the same places again and again.
func TestLayoutKeepsNoMoreThanTheFileHolds(t *testing.T) {
	const size, grain = 1024, 8
	add := map[string]func(l *Layout, number int64) error{
		"as they are": func(l *Layout, number int64) error { return l.Add(number, uint64(number%2*100)) },
		"compressed":  func(l *Layout, number int64) error { return l.AddPacked(number, 0, grain) },
	}
	for name, add := range add {
		t.Run(name, func(t *testing.T) {
			l := &Layout{File: File{bytes.NewReader(make([]byte, size)), size}, Size: 1 << 40, Grain: grain}
			for number := range int64(size / grain) {
				if err := add(l, number); err != nil {
					t.Fatalf("grain %d: %v", number, err)
				}
			}
			if err := add(l, size/grain); !errors.Is(err, ErrFormat) {
				t.Errorf("one grain more than the file can hold: error %v, want ErrFormat", err)
			}
		})
	}
}

func TestEntriesAreReadInPieces(t *testing.T) {
	const n = 100_000
	content := make([]byte, 7+3*n)
	for i := range n {
		content[7+3*i] = byte(i)
	}
	f := File{bytes.NewReader(content), int64(len(content))}
	next := int64(0)
	err := f.Entries("table", 7, n, 3, func(i int64, entry []byte) error {
		if i != next || len(entry) != 3 || entry[0] != byte(i) {
			t.Fatalf("entry %d is %x, expected the number %d", i, entry, next)
		}
		next++
		return nil
	})
	if err != nil || next != n {
		t.Errorf("%d entries, %v", next, err)
	}
	if err := f.Entries("table", 8, n, 3, nil); !errors.Is(err, ErrFormat) {
		t.Errorf("a table that ends outside: %v", err)
	}
	stop := errors.New("stop")
	if err := f.Entries("table", 7, n, 3, func(int64, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error %v, want the callback's", err)
	}
}
