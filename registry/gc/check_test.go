package gc

import (
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/extent"
)

func TestCheckFindsDamageBothWays(t *testing.T) {
	for engine, open := range engines {
		t.Run(engine, func(t *testing.T) { testCheck(t, newWorld(t, open, 0, Policy{})) })
	}
}

func testCheck(t *testing.T, w *world) {
	missing, short := w.mustPush("a", "missing"), w.mustPush("a", "short")
	mapped := w.mustMap("a", missing)
	w.mustPush("a", "sound")
	if f := w.check(false); len(f.Damaged) != 0 || f.Orphans != 0 || f.Blobs != 4 || f.Objects != 4 {
		t.Fatalf("before: %+v", f)
	}
	w.memory.objects[w.key(short)].data = []byte("shor")
	delete(w.memory.objects, w.key(missing))
	w.memory.objects["stray"] = &object{data: []byte("stray")}
	f := w.check(false)
	if f.Sound() || len(f.Damaged) != 2 || f.Orphans != 1 || f.Bytes != 5 {
		t.Fatalf("got %+v", f)
	}
	for _, d := range f.Damaged {
		if d.Digest != missing && d.Digest != short || len(d.Repositories) != 1 || d.Repositories[0] != "a" {
			t.Errorf("got %+v", d)
		}
	}
	// Pushed again, the new objects lose against the records and go to the
	// trash, where the repair finds them. One of them is bad as well.
	w.mustPush("b", "missing")
	w.mustPush("b", "short")
	bad := w.newest(short)
	w.memory.objects[bad].data = []byte("trohs")
	f = w.check(true)
	if f.Sound() || len(f.Damaged) != 2 {
		t.Fatalf("after a repair: %+v", f)
	}
	w.wantBlob("a", missing)
	w.wantBlob("a", mapped)
	w.memory.objects[bad].data = []byte("short")
	if f = w.check(true); !f.Sound() || len(f.Damaged) != 1 {
		t.Fatalf("after another repair: %+v", f)
	}
	if f = w.check(false); len(f.Damaged) != 0 {
		t.Fatalf("after all: %+v", f)
	}
	w.clock.Pass(delay)
	w.gc.mustSweep(t)
	w.wantBlob("a", short)
}

func (w *world) check(repair bool) Findings {
	w.t.Helper()
	f, err := Check(w.ctx, w.meta, w.blobs, CheckOptions{Repair: repair})
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

// key returns the key of a blob's object.
func (w *world) key(d digest.Digest) string {
	w.t.Helper()
	r, err := w.meta.LookupBlob(w.ctx, d)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Key
}

// newest returns the key of the object of a digest that was written last.
func (w *world) newest(d digest.Digest) (newest string) {
	for _, key := range w.memory.keys() {
		if w.memory.objects[key].label.Digest == d {
			newest = key
		}
	}
	return newest
}

// mustMap commits a map over a blob.
func (w *world) mustMap(repository string, source digest.Digest) digest.Digest {
	w.t.Helper()
	var b extent.Builder
	b.Inline([]byte("header"))
	b.Source(extent.Digest(source), 0, 3)
	m, err := b.Build()
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := w.blobs.SealMap(w.ctx, m, "", nil)
	if err == nil {
		_, err = w.meta.CommitBlob(w.ctx, repository, r, nil)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Digest
}

func (c *Collector) mustSweep(t *testing.T) {
	t.Helper()
	if _, err := c.sweep(t.Context(), batch, new(int64)); err != nil {
		t.Fatal(err)
	}
}
