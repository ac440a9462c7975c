package metatest

import (
	"errors"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// forever keeps what is untagged.
func forever(string) time.Duration { return metadata.Forever }

// queued returns how much waits for review.
func (f *fixture) queued() int64 {
	f.T.Helper()
	q, err := f.QueueLength(f.ctx)
	f.must(err)
	return q.Reviews
}

// collect reviews all that is due.
func (f *fixture) collect(keep metadata.KeepUntagged) (all metadata.Reviewed) {
	f.T.Helper()
	for {
		_, err := f.ExpireLeases(f.ctx, 10)
		f.must(err)
		done, err := f.Review(f.ctx, 10, keep)
		f.must(err)
		if done.Total() == 0 {
			return all
		}
		all.Add(done)
	}
}

// forget takes objects off the trash and returns how many bytes they had.
func (f *fixture) forget(keys ...string) int64 {
	f.T.Helper()
	freed, err := f.ForgetTrash(f.ctx, keys...)
	f.must(err)
	return freed
}

func testLetGo(t *testing.T, f *fixture) {
	layer1, layer2 := f.blob("a", "one"), f.blob("a", "two")
	image := put("a", "image", append(layer(layer1), layer(layer2)...), "v1")
	f.must(f.PutManifest(f.ctx, image))
	other := f.manifest("a", "other", "v2")
	for _, step := range []struct {
		what string
		do   func() error
		want int64 // entries of the queue that it adds
	}{
		{"tag that stays", func() error { return f.PutManifest(f.ctx, image) }, 0},
		{"tag moved", func() error { f.manifest("a", "third", "v2"); return nil }, 1},
		{"tag deleted", func() error { return f.DeleteTag(f.ctx, "a", "v1", "tester") }, 1},
		{"manifest without blobs deleted", func() error { return f.DeleteManifest(f.ctx, "a", other, "tester") }, 0},
		{"manifest deleted", func() error { return f.DeleteManifest(f.ctx, "a", image.Manifest.Digest, "tester") }, 2},
		{"blob deleted", func() error { return f.RemoveBlob(f.ctx, "a", layer1) }, 1},
	} {
		before := f.queued()
		f.must(step.do())
		if got := f.queued() - before; got != step.want {
			t.Errorf("%s: %d entries of the queue, want %d", step.what, got, step.want)
		}
	}
}

func testLetGoOfFamily(t *testing.T, f *fixture) {
	child := f.manifest("a", "child")
	index := put("a", "index", []metadata.Reference{{Digest: child, Kind: metadata.RefChild, Sparse: true}})
	f.must(f.PutManifest(f.ctx, index))
	referrer := put("a", "referrer", nil)
	referrer.Manifest.Subject = index.Manifest.Digest
	f.must(f.PutManifest(f.ctx, referrer))
	f.must(f.DeleteManifest(f.ctx, "a", index.Manifest.Digest, "tester"))
	same(t, f.queued(), int64(2))
	day2 := func(string) time.Duration { return 2 * day }
	f.clock.Pass(2*day - time.Second)
	same(t, f.collect(day2).Manifests, 0)
	f.clock.Pass(time.Second)
	same(t, f.collect(day2).Manifests, 2)
	for _, d := range []digest.Digest{child, referrer.Manifest.Digest} {
		_, err := f.StatManifest(f.ctx, "a", d)
		f.wantErr(err, metadata.ErrManifestUnknown)
	}
}

func testPromiseOutlivesReview(t *testing.T, f *fixture) {
	d := f.blob("a", "one")
	image := put("a", "image", layer(d))
	f.must(f.PutManifest(f.ctx, image)) // ends the lease
	f.must(f.DeleteManifest(f.ctx, "a", image.Manifest.Digest, "tester"))
	f.clock.Pass(day - time.Second)
	same(t, f.collect(forever), metadata.Reviewed{})
	_, err := f.PromiseBlob(f.ctx, "a", d)
	f.must(err)
	f.clock.Pass(time.Second)
	same(t, f.collect(forever), metadata.Reviewed{Postponed: 1})
	f.clock.Pass(day)
	same(t, f.collect(forever), metadata.Reviewed{Links: 1, Blobs: 1, Bytes: 3})
	_, err = f.LookupBlob(f.ctx, d)
	f.wantErr(err, blobstore.ErrNotFound)
}

func testLetGoAgain(_ *testing.T, f *fixture) {
	d := f.blob("a", "one")
	image := put("a", "image", layer(d))
	use := func() {
		f.must(f.PutManifest(f.ctx, image)) // ends the leases of all
		f.must(f.DeleteManifest(f.ctx, "a", image.Manifest.Digest, "tester"))
	}
	use()
	f.clock.Pass(day - time.Hour)
	_, err := f.PromiseBlob(f.ctx, "a", d) // to somebody else
	f.must(err)
	use()
	f.clock.Pass(2 * time.Hour)
	f.collect(forever)
	_, err = f.Blob(f.ctx, "a", d)
	f.must(err)
	f.clock.Pass(day)
	f.collect(forever)
	_, err = f.Blob(f.ctx, "a", d)
	f.wantErr(err, metadata.ErrBlobUnknown)
}

func testReviewDry(t *testing.T, f *fixture) {
	d := f.blob("a", "one")
	f.clock.Pass(day)
	want := metadata.Reviewed{Links: 1, Blobs: 1, Bytes: 3}
	for range 2 {
		done, err := f.ReviewDry(f.ctx, forever)
		f.must(err)
		same(t, done, want)
	}
	_, err := f.Blob(f.ctx, "a", d)
	f.must(err)
	same(t, f.collect(forever), want)
}

func testRestore(t *testing.T, f *fixture) {
	f.blob("a", "one")
	r := record("map")
	r.Kind, r.Needs = blobstore.Mapped, []digest.Digest{digestOf("one")}
	_, err := f.CommitBlob(f.ctx, "a", r, nil)
	f.must(err)
	f.clock.Pass(day)
	same(t, f.collect(forever).Blobs, 2)
	f.clock.Pass(day - time.Second)
	keys, err := f.ClaimTrash(f.ctx, 10)
	f.must(err)
	same(t, len(keys), 0)
	f.must(f.RestoreBlob(f.ctx, "a", r.Digest))
	got, err := f.Blob(f.ctx, "a", r.Digest)
	f.must(err)
	same(t, got, r)
	_, err = f.LookupBlob(f.ctx, digestOf("one"))
	f.must(err)

	f.clock.Pass(day)
	same(t, f.collect(forever).Blobs, 2)
	f.clock.Pass(day)
	keys, err = f.ClaimTrash(f.ctx, 10)
	f.must(err)
	same(t, len(keys), 2)
	f.wantErr(f.RestoreBlob(f.ctx, "a", r.Digest), metadata.ErrBlobUnknown)
	again, err := f.ClaimTrash(f.ctx, 10)
	f.must(err)
	same(t, len(again), 0) // somebody is at it
	f.clock.Pass(time.Hour)
	again, err = f.ClaimTrash(f.ctx, 10)
	f.must(err)
	same(t, len(again), 2) // and has come to nothing
	_, err = f.CommitBlob(f.ctx, "a", r, nil)
	f.wantErr(err, blobstore.ErrNotFound)
	f.forget(keys...)
}

func testHolds(t *testing.T, f *fixture) {
	d := f.blob("a", "one")
	image := put("a", "image", layer(d), "v1")
	f.must(f.PutManifest(f.ctx, image))
	loose := f.blob("a", "two")
	holdFor := func(reference string) metadata.Hold {
		return metadata.Hold{Reference: reference, Reason: "court", Actor: "tester"}
	}
	f.wantErr(f.SetHold(f.ctx, "a", holdFor("v9")), metadata.ErrManifestUnknown)
	f.must(f.SetHold(f.ctx, "a", holdFor("v1")))
	f.must(f.SetHold(f.ctx, "a", holdFor(string(loose))))
	f.wantErr(f.DeleteTag(f.ctx, "a", "v1", "tester"), metadata.ErrHeld)
	f.wantErr(f.DeleteManifest(f.ctx, "a", image.Manifest.Digest, "tester"), metadata.ErrHeld)
	f.wantErr(f.PutManifest(f.ctx, put("a", "other", nil, "v1")), metadata.ErrHeld)
	f.wantErr(f.RemoveBlob(f.ctx, "a", loose), metadata.ErrHeld)
	f.must(f.PutManifest(f.ctx, image))
	f.clock.Pass(10 * day)
	same(t, f.collect(func(string) time.Duration { return 0 }), metadata.Reviewed{Kept: 1})

	f.must(f.SetHold(f.ctx, "a", holdFor(string(image.Manifest.Digest))))
	f.must(f.LiftHold(f.ctx, "a", "v1"))
	f.must(f.DeleteTag(f.ctx, "a", "v1", "tester"))
	f.wantErr(f.DeleteManifest(f.ctx, "a", image.Manifest.Digest, "tester"), metadata.ErrHeld)
	holds, err := f.Holds(f.ctx, "a")
	f.must(err)
	same(t, len(holds), 2)
	f.must(f.LiftHold(f.ctx, "a", string(loose)))
	f.must(f.LiftHold(f.ctx, "a", string(image.Manifest.Digest)))
	f.wantErr(f.LiftHold(f.ctx, "a", string(loose)), metadata.ErrManifestUnknown)
	f.clock.Pass(2 * day)
	done := f.collect(func(string) time.Duration { return 0 })
	same(t, done.Manifests, 1)
	same(t, done.Blobs, 1)
}

func testRenderOfGoneImage(t *testing.T, f *fixture) {
	image := f.manifest("a", "image")
	d := f.blob("a", "disk")
	artifact := put("a", "artifact", layer(d))
	artifact.Manifest.Subject = image
	f.must(f.PutManifest(f.ctx, artifact))
	f.must(f.DeleteManifest(f.ctx, "a", image, "tester"))
	f.clock.Pass(day)
	f.collect(forever) // an artifact that nobody knows to be a render stays
	f.must(f.SaveRender(f.ctx, "a", metadata.Render{Derivation: digestOf("key"), Artifact: artifact.Manifest.Digest, Blob: d}))
	f.clock.Pass(day)
	same(t, f.collect(forever).Manifests, 1)
}

func testOrphans(t *testing.T, f *fixture) {
	f.blob("a", "one")
	upload(f, "id")
	keys := []string{"objects/one", "uploads/id", "objects/lost"}
	unknown, err := f.UnknownObjects(f.ctx, keys)
	f.must(err)
	same(t, unknown, []string{"objects/lost"})
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 0}, {2*day - time.Second, 0}, {time.Second, 1}, {0, 0}} {
		f.clock.Pass(step.after)
		unknown, err := f.UnknownObjects(f.ctx, keys)
		f.must(err)
		n, err := f.SuspectObjects(f.ctx, unknown)
		f.must(err)
		same(t, n, step.want)
	}
	got, err := f.ClaimTrash(f.ctx, 10)
	f.must(err)
	same(t, got, []string{"objects/lost"})
	f.forget(got...)
	f.must(f.ForgetSuspects(f.ctx, f.clock.Now().Add(day)))
	_, err = f.CommitBlob(f.ctx, "a", record("lost"), nil) // its writer wakes up
	f.wantErr(err, blobstore.ErrNotFound)
}

func testSuspectIsCleared(t *testing.T, f *fixture) {
	see := func() int {
		t.Helper()
		n, err := f.SuspectObjects(f.ctx, []string{"objects/one"})
		f.must(err)
		return n
	}
	same(t, see(), 0)
	f.clock.Pass(day)
	f.must(f.ForgetSuspects(f.ctx, f.clock.Now())) // the object was not listed since
	f.clock.Pass(day)
	same(t, see(), 0)
	f.blob("a", "one") // its writer was only slow
	f.clock.Pass(5 * day)
	same(t, see(), 0)
	same(t, see(), 0)
	_, err := f.LookupBlob(f.ctx, digestOf("one"))
	f.must(err)
}

func testDuties(t *testing.T, f *fixture) {
	for _, step := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {0, false}, {time.Hour - 1*time.Second, false}, {time.Second, true}, {0, false}} {
		f.clock.Pass(step.after)
		mine, err := f.ClaimDuty(f.ctx, "dishes", time.Hour)
		f.must(err)
		same(t, mine, step.want)
	}
}

func testRetireTag(t *testing.T, f *fixture) {
	f.manifest("a", "one", "v1")
	f.clock.Pass(time.Second)
	f.manifest("a", "two", "v2")
	tags, err := f.TagsByAge(f.ctx, "a")
	f.must(err)
	same(t, []string{tags[0].Name, tags[1].Name}, []string{"v2", "v1"})
	f.manifest("a", "three", "v1") // moved meanwhile
	retired, err := f.RetireTag(f.ctx, "a", tags[1], "retention")
	f.must(err)
	same(t, retired, false)
	retired, err = f.RetireTag(f.ctx, "a", tags[0], "retention")
	f.must(err)
	same(t, retired, true)
	left, err := f.Tags(f.ctx, "a", "", 10)
	f.must(err)
	same(t, left, []string{"v1"})
}

func testGraves(t *testing.T, f *fixture) {
	d := f.manifest("a", "one", "v1")
	_, err := f.Grave(f.ctx, "a", d)
	f.wantErr(err, metadata.ErrManifestUnknown)
	f.must(f.DeleteManifest(f.ctx, "a", d, "tester"))
	g, err := f.Grave(f.ctx, "a", d)
	f.must(err)
	same(t, string(g.Raw), "one")
	graves, err := f.Graves(f.ctx, "a", 10)
	f.must(err)
	same(t, len(graves), 1)
	for _, want := range []int{0, 1} { // as long as a blob of it would last
		f.clock.Pass(day)
		n, err := f.ExpireGraves(f.ctx, 10)
		f.must(err)
		same(t, n, want)
	}
	if _, err := f.Grave(f.ctx, "a", d); !errors.Is(err, metadata.ErrManifestUnknown) {
		t.Errorf("got the error %v", err)
	}
}

func testBind(_ *testing.T, f *fixture) {
	f.must(f.Bind(f.ctx, "one"))
	f.must(f.Bind(f.ctx, "one"))
	f.wantErr(f.Bind(f.ctx, "two"), metadata.ErrOtherStore)
}
