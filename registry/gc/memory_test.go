package gc

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/extent"
)

// memory is a driver that keeps objects in memory and fails when told to.
type memory struct {
	mu      sync.Mutex
	serial  int
	objects map[string]*object
	// failRemove, if not nil, is asked before (done false) and after (done true)
	// an object is removed.
	failRemove func(done bool) error
}

type object struct {
	label  blobstore.Label
	data   []byte
	sealed bool
}

func newMemory() *memory { return &memory{objects: make(map[string]*object)} }

func (m *memory) Create(context.Context) (blobstore.ObjectWriter, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.serial++
	key := fmt.Sprintf("%06d", m.serial)
	m.objects[key] = &object{}
	return &memoryWriter{memory: m, key: key}, nil
}

func (m *memory) Resume(_ context.Context, p blobstore.Point) (blobstore.ObjectWriter, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.objects[p.Key]
	if o == nil || o.sealed || int64(len(o.data)) < p.Offset {
		return nil, fmt.Errorf("object %s: %w", p.Key, blobstore.ErrNotFound)
	}
	o.data = o.data[:p.Offset]
	return &memoryWriter{memory: m, key: p.Key}, nil
}

func (m *memory) Open(_ context.Context, key string) (extent.Blob, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.objects[key]
	if o == nil || !o.sealed {
		return nil, fmt.Errorf("object %s: %w", key, blobstore.ErrNotFound)
	}
	return memoryBlob{bytes.NewReader(o.data)}, nil
}

type memoryBlob struct{ *bytes.Reader }

func (memoryBlob) Close() error { return nil }

func (m *memory) Remove(_ context.Context, key string) error {
	if m.failRemove != nil {
		if err := m.failRemove(false); err != nil {
			return err
		}
	}
	m.mu.Lock()
	delete(m.objects, key)
	m.mu.Unlock()
	if m.failRemove != nil {
		return m.failRemove(true)
	}
	return nil
}

func (m *memory) List(context.Context) iter.Seq2[blobstore.Object, error] {
	return func(yield func(blobstore.Object, error) bool) {
		for _, key := range m.keys() {
			m.mu.Lock()
			o := m.objects[key]
			m.mu.Unlock()
			if o != nil && !yield(blobstore.Object{Key: key, Label: o.label, Size: int64(len(o.data)), Sealed: o.sealed}, nil) {
				return
			}
		}
	}
}

func (m *memory) keys() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.objects))
}

type memoryWriter struct {
	memory *memory
	key    string
}

func (w *memoryWriter) Key() string { return w.key }

func (w *memoryWriter) Expect(int64, bool) error { return nil }

func (w *memoryWriter) Save(context.Context) (blobstore.Point, error) { return w.Saved(), nil }

func (w *memoryWriter) Saved() blobstore.Point {
	return blobstore.Point{Key: w.key, Offset: w.Boundary()}
}

// Boundary returns the size: any offset is a point.
func (w *memoryWriter) Boundary() int64 {
	w.memory.mu.Lock()
	defer w.memory.mu.Unlock()
	if o := w.memory.objects[w.key]; o != nil {
		return int64(len(o.data))
	}
	return 0
}

func (w *memoryWriter) Write(p []byte) (int, error) {
	w.memory.mu.Lock()
	defer w.memory.mu.Unlock()
	o := w.memory.objects[w.key]
	if o == nil {
		return 0, fmt.Errorf("object %s: %w", w.key, blobstore.ErrNotFound)
	}
	o.data = append(o.data, p...)
	return len(p), nil
}

// Seal gives the object another key, as the driver of files does.
func (w *memoryWriter) Seal(_ context.Context, label blobstore.Label) (string, error) {
	w.memory.mu.Lock()
	defer w.memory.mu.Unlock()
	o := w.memory.objects[w.key]
	if o == nil {
		return "", fmt.Errorf("object %s: %w", w.key, blobstore.ErrNotFound)
	}
	delete(w.memory.objects, w.key)
	o.sealed, o.label = true, label
	key := "sealed/" + w.key
	w.memory.objects[key] = o
	return key, nil
}

func (w *memoryWriter) Close() error { return nil }

func (m *memory) Stat(ctx context.Context, key string) (int64, error) {
	o, err := m.Open(ctx, key)
	if err != nil {
		return 0, err
	}
	return o.Size(), nil
}

func (m *memory) Scan(ctx context.Context, key string, w io.Writer) (int64, error) {
	o, err := m.Open(ctx, key)
	if err != nil {
		return 0, err
	}
	return io.Copy(w, io.NewSectionReader(o, 0, o.Size()))
}
