package gc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

func TestObjectThatCannotBeRemovedStaysInTheTrash(t *testing.T) {
	w := newWorld(t, engines["sqlite"], 0, Policy{})
	d := w.mustPush("a", "one")
	w.clock.Pass(lease)
	w.mustCollect()
	w.clock.Pass(delay)
	w.memory.failRemove = func(bool) error { return errors.New("out of order") }
	if _, err := w.gc.Collect(t.Context()); err == nil || !strings.Contains(err.Error(), "out of order") {
		t.Fatalf("got the error %v", err)
	}
	w.memory.failRemove = nil
	if n := len(w.memory.keys()); n != 1 {
		t.Fatalf("there are %d objects", n)
	}
	w.clock.Pass(time.Hour)
	if r := w.mustCollect(); r.Removed != 1 || len(w.memory.keys()) != 0 {
		t.Errorf("blob %s: removed %d objects, %q are left", d, r.Removed, w.memory.keys())
	}
}

func TestPlanChangesNothing(t *testing.T) {
	w := newWorld(t, engines["sqlite"], 0, Policy{Rules: []Rule{{Repositories: "**", KeepNewest: 1}}})
	w.mustPut("a", nil, "v1")
	w.mustPush("a", "one")
	w.clock.Pass(lease)
	w.mustPut("a", nil, "v2")
	for range 2 {
		r, err := w.gc.Plan(t.Context())
		want := Result{Tags: 1, Reviewed: metadata.Reviewed{Links: 1, Blobs: 1, Bytes: 3}}
		if err != nil || r != want {
			t.Fatalf("got %+v, %v, want %+v", r, err, want)
		}
	}
}

func TestPolicyRetiresOldTags(t *testing.T) {
	w := newWorld(t, engines["sqlite"], 0, Policy{Rules: []Rule{
		{Repositories: "golden/**", KeepNewest: 2, KeepTags: []string{"release-*"}},
		{Repositories: "**"},
	}})
	for _, repository := range []string{"golden/debian", "other"} {
		for _, tag := range []string{"release-1", "v1", "v2", "held", "v3", "v4"} {
			w.mustPut(repository, []metadata.Reference{{Digest: digest.FromString(tag), Kind: metadata.RefLayer, Sparse: true}}, tag)
			w.clock.Pass(time.Minute)
		}
		if err := w.meta.SetHold(t.Context(), repository, metadata.Hold{Reference: "held"}); err != nil {
			t.Fatal(err)
		}
	}
	if r := w.mustCollect(); r.Tags != 2 {
		t.Errorf("%d tags were retired, want v1 and v2", r.Tags)
	}
	for repository, want := range map[string]string{"golden/debian": "[held release-1 v3 v4]", "other": "[held release-1 v1 v2 v3 v4]"} {
		tags, err := w.meta.Tags(t.Context(), repository, "", 10)
		if err != nil || fmt.Sprint(tags) != want {
			t.Errorf("%s: got %v, %v, want %s", repository, tags, err, want)
		}
	}
	history, err := w.meta.TagHistory(t.Context(), "golden/debian", "v1", 0, 1)
	if err != nil || history[0].Actor != retention {
		t.Errorf("the history is %+v, %v", history, err)
	}
}

func TestPolicyIsChecked(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{`{"rules":[{"repositories":"golden/**","keepNewest":3,"keepTags":["v*"],"deleteUntagged":"720h"}]}`, ""},
		{`{"rules":[{"keepNewest":3}]}`, "no pattern"},
		{`{"rules":[{"repositories":"a","keepNewest":-1}]}`, "expected 0"},
		{`{"rules":[{"repositories":"a","keepTags":["v*"]}]}`, "of no use"},
		{`{"rules":[{"repositories":"a[","keepNewest":1}]}`, "syntax error in pattern"},
		{`{"rules":[{"repositories":"a","deleteUntagged":"-1h"}]}`, "expected 0"},
		{`{"rules":[{"repositories":"a","deleteUntagged":"soon"}]}`, "invalid duration"},
		{`{"rules":[{"repository":"a"}]}`, "unknown field"},
	} {
		_, err := ReadPolicy(strings.NewReader(test.text))
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: got the error %v, want %q", test.text, err, test.want)
		}
	}
}

func TestUndeleteRestoresAnImage(t *testing.T) {
	w := newWorld(t, engines["sqlite"], 0, Policy{})
	d := w.mustPush("a", "one")
	m := w.mustPut("a", []metadata.Reference{{Digest: d, Kind: metadata.RefLayer}}, "v1")
	put := w.acked[name{"a", m}].put
	if err := w.meta.DeleteManifest(t.Context(), "a", m, "client"); err != nil {
		t.Fatal(err)
	}
	w.clock.Pass(delay - time.Second)
	again := func() error {
		return Undelete(t.Context(), w.meta, "a", m, func(context.Context, metadata.Grave) error {
			return w.meta.PutManifest(t.Context(), put)
		})
	}
	if err := again(); err != nil {
		t.Fatal(err)
	}
	w.wantBlob("a", d)
	if err := w.meta.DeleteManifest(t.Context(), "a", m, "client"); err != nil {
		t.Fatal(err)
	}
	w.clock.Pass(lease + delay)
	w.mustCollect()
	w.clock.Pass(delay)
	w.mustCollect()
	if err := again(); !errors.Is(err, blobstore.ErrNotFound) {
		t.Errorf("after the delay: got the error %v", err)
	}
}

// TestCollectorRunsBesideClients lets clients and collectors of several nodes
// run at once while the clock races. The locks of the database have to do what
// the interleaving of single steps cannot show.
func TestCollectorRunsBesideClients(t *testing.T) {
	for engine, open := range engines {
		t.Run(engine, func(t *testing.T) {
			w := newWorld(t, open, 0, Policy{})
			done := make(chan struct{})
			var clients, collectors sync.WaitGroup
			for range 2 {
				collectors.Go(func() { w.collectUntil(done) })
			}
			var mu sync.Mutex
			kept := make(map[name]digest.Digest)
			for client := range 4 {
				clients.Go(func() {
					for i := range 40 {
						if n, blob, ok := w.race(client, i); ok {
							mu.Lock()
							kept[n] = blob
							mu.Unlock()
						}
					}
				})
			}
			clients.Wait()
			close(done)
			collectors.Wait()
			if len(kept) == 0 {
				t.Fatal("no push succeeded: the test is of no use")
			}
			w.settle()
			for n, blob := range kept {
				if _, err := w.meta.Manifest(t.Context(), n.repository, n.digest); err != nil {
					t.Error(err)
				}
				w.wantBlob(n.repository, blob)
			}
			if got, want := len(w.memory.keys()), len(w.records()); got != want || got > contents {
				t.Errorf("there are %d objects for %d blobs", got, want)
			}
		})
	}
}

// collectUntil does what a node's collector does, all the time.
func (w *world) collectUntil(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		default:
			w.clock.Pass(time.Hour)
			if err := w.gc.pass(w.ctx, new(Result)); err != nil {
				w.t.Error(err)
				return
			}
		}
	}
}

// contents is how many blobs the clients of race share.
const contents = 5

// race pushes an image as one client of many, and deletes every other one. It
// says whether one is to stay.
func (w *world) race(client, i int) (n name, blob digest.Digest, ok bool) {
	content := fmt.Appendf(nil, "shared %d", i%contents)
	blob = digest.FromBytes(content)
	if _, err := w.meta.PromiseBlob(w.ctx, "a", blob); errors.Is(err, blobstore.ErrNotFound) {
		if err := w.upload("a", content); err != nil {
			w.t.Error(err)
			return n, blob, false
		}
	}
	raw := fmt.Appendf(nil, "%d %d", client, i)
	n = name{"a", digest.FromBytes(raw)}
	err := w.meta.PutManifest(w.ctx, metadata.ManifestPut{
		Repository: "a", References: []metadata.Reference{{Digest: blob, Kind: metadata.RefLayer}}, Tags: []string{"latest"},
		Manifest: metadata.Manifest{Digest: n.digest, MediaType: "m", Raw: raw},
	})
	if errors.Is(err, blobstore.ErrNotFound) {
		return n, blob, false // the clock was faster
	}
	if err == nil && i%4 != 0 {
		err = w.meta.DeleteManifest(w.ctx, "a", n.digest, "client")
	}
	if err != nil {
		w.t.Error(err)
	}
	return n, blob, err == nil && i%4 == 0
}

func (w *world) upload(repository string, content []byte) error {
	writer, err := w.blobs.Create(w.ctx, digest.SHA256)
	if err != nil {
		return err
	}
	if _, err := writer.Write(content); err != nil {
		return err
	}
	record, err := writer.Seal(w.ctx, "")
	if err != nil {
		return err
	}
	_, err = w.meta.CommitBlob(w.ctx, repository, record, nil)
	return err
}

func (w *world) mustPush(repository, content string) digest.Digest {
	w.t.Helper()
	if err := w.upload(repository, []byte(content)); err != nil {
		w.t.Fatal(err)
	}
	return digest.FromString(content)
}

func (w *world) mustPut(repository string, refs []metadata.Reference, tags ...string) digest.Digest {
	w.t.Helper()
	if err := w.put(repository, refs, "", tags...); err != nil {
		w.t.Fatal(err)
	}
	return w.tags[[2]string{repository, tags[0]}]
}

func (w *world) mustCollect() Result {
	w.t.Helper()
	r, err := w.gc.Collect(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}
