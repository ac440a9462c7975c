package gc

import (
	"bytes"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// TestPackIsRewrittenForWhatIsRead deletes the older of two versions of a layer
// that share frames: only what the newer one reads stays.
func TestPackIsRewrittenForWhatIsRead(t *testing.T) {
	for engine, open := range engines {
		t.Run(engine, func(t *testing.T) { testRepack(t, newWorld(t, open, 0, Policy{})) })
	}
}

func testRepack(t *testing.T, w *world) {
	content := make([]byte, 100_000)
	for i := range content {
		content[i] = byte(i * i >> 8)
	}
	older := w.mustPush("a", string(content))
	newer, want := w.mustShare(older, content)
	w.mustRefer("a", older, "v1")
	w.mustRefer("a", newer, "v2")
	if r := w.mustCollect(); r.Repacked.Packs != 0 {
		t.Fatalf("rewrote what a repository holds: %+v", r.Repacked)
	}
	w.mustForget("a", older)
	for range 3 { // the link is reviewed
		w.clock.Pass(lease)
		if plan, err := w.gc.PlanRepack(w.ctx); err != nil || w.unlinked(older) && plan.Bytes != 75_000 {
			t.Fatalf("the plan is %+v, %v", plan, err)
		}
		reading, err := w.blobs.Open(w.ctx, newer) // opens what it reads from when it reads
		if err != nil {
			t.Fatal(err)
		}
		w.mustCollect()
		w.mustCollect()
		got := make([]byte, len(want))
		if _, err := reading.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("who was reading got other bytes, %v", err)
		}
		reading.Close()
		w.wantBlob("a", newer)
	}
	for range 4 {
		w.clock.Pass(delay)
		w.mustCollect()
		w.wantBlob("a", newer)
	}
	if _, err := w.meta.LookupBlob(w.ctx, older); err == nil {
		t.Error("the older version is still there")
	}
	var stored int
	for _, o := range w.memory.objects {
		stored += len(o.data)
	}
	if stored < 25_000 || stored > 26_000 {
		t.Errorf("%d bytes are stored, want about 25,000", stored)
	}
	if f := w.check(false); !f.Sound() || f.Orphans != 0 {
		t.Errorf("got %+v", f)
	}
}

// mustShare commits a layer that reads a quarter of another one, in three ranges
// of which two overlap.
func (w *world) mustShare(older digest.Digest, content []byte) (digest.Digest, []byte) {
	w.t.Helper()
	var b extent.Builder
	var want []byte
	for _, r := range [][2]int{{80_000, 90_000}, {10_000, 20_000}, {15_000, 25_000}} {
		b.Source(extent.Digest(older), int64(r[0]), int64(r[1]-r[0]))
		b.Inline([]byte("new"))
		want = append(append(want, content[r[0]:r[1]]...), "new"...)
	}
	m, err := b.Build()
	if err != nil {
		w.t.Fatal(err)
	}
	record, err := w.blobs.SealMap(w.ctx, m, digest.FromBytes(want), nil)
	if err == nil {
		_, err = w.meta.CommitBlob(w.ctx, "a", record, nil)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return record.Digest, want
}

func (w *world) mustRefer(repository string, d digest.Digest, tag string) {
	w.t.Helper()
	if err := w.put(repository, []metadata.Reference{{Digest: d, Kind: metadata.RefLayer}}, "", tag); err != nil {
		w.t.Fatal(err)
	}
}

// mustForget deletes the manifest of a layer.
func (w *world) mustForget(repository string, layer digest.Digest) {
	w.t.Helper()
	for n, a := range w.acked {
		if a.put.References[0].Digest == layer {
			if err := w.meta.DeleteManifest(w.ctx, repository, n.digest, "client"); err != nil {
				w.t.Fatal(err)
			}
			w.forget(n)
		}
	}
}

func (w *world) unlinked(d digest.Digest) bool {
	w.t.Helper()
	packs, err := w.meta.Packs(w.ctx, "", batch)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range packs {
		if p.Digest == d {
			return p.Kind == blobstore.Whole
		}
	}
	return false
}
