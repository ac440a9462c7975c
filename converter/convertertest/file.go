package convertertest

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/cloudlets/cloudlets/extent"
)

// copySize is how many bytes WriteFile holds at a time.
const copySize = 1 << 20

// WriteFile writes the content of m to a new file at path. Zero extents become
// holes. open may be nil where m has no source extents.
func WriteFile(t TB, m *extent.Map, open extent.Opener, path string) {
	t.Helper()
	if err := writeFile(m, open, path); err != nil {
		t.Fatalf("write %s: %v", path, err)
	}
}

func writeFile(m *extent.Map, open extent.Opener, path string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(m.Size()); err != nil {
		return err
	}
	r := extent.NewReader(context.Background(), m, open)
	defer func() { err = errors.Join(err, r.Close()) }()
	buf := make([]byte, copySize)
	for off := int64(0); ; {
		start, end, ok := m.NextData(off)
		if !ok {
			return nil
		}
		run := struct{ io.Reader }{io.NewSectionReader(r, start, end-start)}
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.NewOffsetWriter(f, start)}, run, buf); err != nil {
			return err
		}
		off = end
	}
}

// Bytes returns the whole content of m, which had better be small.
func Bytes(t TB, m *extent.Map, open extent.Opener) []byte {
	t.Helper()
	r := extent.NewReader(context.Background(), m, open)
	p := make([]byte, m.Size())
	_, err := r.ReadAt(p, 0)
	if err = errors.Join(err, r.Close()); err != nil {
		t.Fatalf("read a map of %d bytes: %v", m.Size(), err)
	}
	return p
}

// Build returns the map that f builds.
func Build(t TB, f func(b *extent.Builder)) *extent.Map {
	t.Helper()
	var b extent.Builder
	f(&b)
	m, err := b.Build()
	if err != nil {
		t.Fatalf("build a map: %v", err)
	}
	return m
}
