package gc

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// TestNothingAcknowledgedIsLost interleaves the steps of clients with those of
// the collector at random, lets both die between any two, moves the clock, and
// checks that every manifest stays whole that was acknowledged and not deleted.
// In the end the store holds what is reachable and nothing else.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	policies := []Policy{{}, {Rules: []Rule{{Repositories: "**", DeleteUntagged: Duration(48 * time.Hour)}}}}
	for engine, open := range engines {
		t.Run(engine, func(t *testing.T) {
			happened := make(map[string]int)
			for seed := range worlds {
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					w := newWorld(t, open, seed, policies[seed%2])
					for range 400 {
						w.turn()
					}
					w.settle()
					w.wantConverged()
					for what, n := range w.done {
						happened[what] += n
					}
				})
			}
			for _, what := range []string{"push", "index", "render", "delete tag", "delete manifest", "loose blob", "hold", "undelete", "push refused", "frames", "repack"} {
				if happened[what] == 0 {
					t.Errorf("no %s ever happened: the test is of no use", what)
				}
			}
		})
	}
}

// worlds is how many histories are tried on each engine.
const worlds uint64 = 12

// turn lets one thing happen.
func (w *world) turn() {
	switch n := w.rand.IntN(100); {
	case n < 40:
		w.step()
	case n < 50:
		w.pushImage()
	case n < 52:
		w.pushFrames()
	case n < 56:
		w.render()
	case n < 59:
		w.pushIndex()
	case n < 63:
		w.deleteTag()
	case n < 66:
		w.deleteManifest()
	case n < 68:
		w.pushLoose()
	case n < 70:
		w.hold()
	case n < 72:
		w.undelete()
	case n < 74:
		w.abandon()
	case n < 94:
		w.collect()
		w.wantWhole()
	default:
		w.clock.Pass(time.Duration(w.rand.IntN(20)) * time.Hour)
	}
}

// settle lets all clients die and the collector do its work for as long as
// anything may be waited for.
func (w *world) settle() {
	for len(w.tasks) > 0 {
		w.abandon()
	}
	for range 12 {
		w.clock.Pass(25 * time.Hour)
		if _, err := w.gc.Collect(w.ctx); err != nil {
			w.t.Fatal(err)
		}
		w.wantWhole()
	}
}

// wantWhole checks every manifest that must be there, to the last byte of its
// blobs.
func (w *world) wantWhole() {
	w.t.Helper()
	required := w.required()
	for n, a := range w.acked {
		got, err := w.meta.Manifest(w.ctx, n.repository, n.digest)
		if errors.Is(err, metadata.ErrManifestUnknown) && !required[n] {
			w.forget(n)
			continue
		}
		if err != nil || string(got.Raw) != string(a.put.Manifest.Raw) {
			w.t.Fatalf("manifest %s of %s: got %q, %v", n.digest, n.repository, got.Raw, err)
		}
		for _, ref := range a.put.References {
			if ref.Kind == metadata.RefLayer {
				w.wantBlob(n.repository, ref.Digest)
			}
		}
	}
	for key, d := range w.tags {
		if got, err := w.meta.StatTagged(w.ctx, key[0], key[1]); err != nil || got.Digest != d {
			w.t.Fatalf("tag %s: got %s, %v, want %s", key, got.Digest, err, d)
		}
	}
}

func (w *world) wantBlob(repository string, d digest.Digest) {
	w.t.Helper()
	r, err := w.meta.Blob(w.ctx, repository, d)
	if err != nil {
		w.t.Fatal(err)
	}
	blob, err := w.blobs.OpenRecord(w.ctx, r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer blob.Close()
	if got, err := digest.FromReader(io.NewSectionReader(blob, 0, blob.Size())); err != nil || got != d {
		w.t.Fatalf("blob %s reads as %s, %v", d, got, err)
	}
}

// required returns the acknowledged manifests that no policy lets go: all but
// those that nothing holds, if the policy says so, and renders whose image is
// gone.
func (w *world) required() map[name]bool {
	required := make(map[name]bool)
	var hold func(n name)
	hold = func(n name) {
		a := w.acked[n]
		if a == nil || required[n] {
			return
		}
		required[n] = true
		for _, ref := range a.put.References {
			if ref.Kind == metadata.RefChild {
				hold(name{n.repository, ref.Digest})
			}
		}
		for referrer, b := range w.acked {
			if referrer.repository == n.repository && b.put.Manifest.Subject == n.digest {
				hold(referrer)
			}
		}
	}
	keepsAll := len(w.gc.policy.Load().Rules) == 0
	for n, a := range w.acked {
		if keepsAll && !a.render || w.holds[[2]string{n.repository, string(n.digest)}] {
			hold(n)
		}
	}
	for key, d := range w.tags {
		hold(name{key[0], d})
	}
	return required
}

// wantConverged checks that the store holds what is reachable and nothing else.
func (w *world) wantConverged() {
	w.t.Helper()
	required := w.required()
	for n := range w.acked {
		if !required[n] {
			w.t.Errorf("manifest %s of %s is still there", n.digest, n.repository)
		}
	}
	reachable := make(map[digest.Digest]bool)
	var reach func(d digest.Digest)
	reach = func(d digest.Digest) {
		r, err := w.meta.LookupBlob(w.ctx, d)
		if err != nil {
			w.t.Fatal(err)
		}
		reachable[d] = true
		for _, n := range r.Needs {
			reach(n)
		}
	}
	for n := range required {
		for _, ref := range w.acked[n].put.References {
			if ref.Kind == metadata.RefLayer {
				reach(ref.Digest)
			}
		}
	}
	var keys []string
	for _, r := range w.records() {
		if !reachable[r.Digest] {
			w.t.Errorf("blob %s is still there", r.Digest)
		}
		keys = append(keys, r.Key)
	}
	slices.Sort(keys)
	if got := w.memory.keys(); !slices.Equal(got, keys) {
		w.t.Errorf("the store has the objects\n%q, want\n%q", got, keys)
	}
	q, err := w.meta.QueueLength(w.ctx)
	if len(w.gc.policy.Load().Rules) > 0 {
		q.Reviews = 0 // what is untagged and held is looked at again and again
	}
	if err != nil || q != (metadata.QueueLength{}) {
		w.t.Errorf("what waits is %+v, %v", q, err)
	}
}

func (w *world) records() []blobstore.Record {
	w.t.Helper()
	records, err := w.meta.Records(w.ctx, "", 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	return records
}
