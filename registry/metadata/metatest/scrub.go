package metatest

import (
	"errors"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// derived commits a blob that is read from others.
func (f *fixture) derived(repository, name string, kind blobstore.Kind, needs ...digest.Digest) blobstore.Record {
	f.T.Helper()
	r := record(name)
	r.Kind, r.Needs = kind, needs
	_, err := f.CommitBlob(f.ctx, repository, r, nil)
	f.must(err)
	return r
}

func (f *fixture) quarantine(r blobstore.Record) {
	f.T.Helper()
	done, err := f.Quarantine(f.ctx, r, "a bit flipped")
	f.must(err)
	if !done {
		f.T.Fatalf("%s was not quarantined", r.Digest)
	}
}

// wantQuarantined checks that nothing gives out a blob, for the sake of another.
func (f *fixture) wantQuarantined(repository string, d, below digest.Digest) {
	f.T.Helper()
	var q *metadata.QuarantineError
	_, err := f.LookupBlob(f.ctx, d)
	f.wantErr(err, blobstore.ErrNotFound)
	if !errors.As(err, &q) || q.Digest != d || q.Blob != below || q.Reason == "" || q.Since.IsZero() {
		f.T.Fatalf("got the error %v", err)
	}
	for what, ask := range map[string]func() error{
		"get":     func() error { _, err := f.Blob(f.ctx, repository, d); return err },
		"promise": func() error { _, err := f.PromiseBlob(f.ctx, repository, d); return err },
		"mount":   func() error { return f.MountBlob(f.ctx, "elsewhere", repository, d) },
		"mount from anywhere": func() error {
			return f.MountBlob(f.ctx, "elsewhere", "", d)
		},
		"need": func() error {
			r := record("over " + string(d))
			r.Kind, r.Needs = blobstore.Mapped, []digest.Digest{d}
			_, err := f.CommitBlob(f.ctx, repository, r, nil)
			return err
		},
	} {
		if err := ask(); !errors.As(err, &q) || !errors.Is(err, metadata.ErrBlobUnknown) {
			f.T.Errorf("%s gives %v", what, err)
		}
	}
	err = f.PutManifest(f.ctx, put(repository, "of "+string(d), []metadata.Reference{{Digest: d, Kind: metadata.RefLayer}}))
	var missing *metadata.MissingError
	if !errors.As(err, &missing) {
		f.T.Errorf("a manifest gives %v", err)
	}
}

func (f *fixture) wantReadable(repository string, d digest.Digest) {
	f.T.Helper()
	_, err := f.LookupBlob(f.ctx, d)
	f.must(err)
	_, err = f.PromiseBlob(f.ctx, repository, d)
	f.must(err)
}

func testQuarantine(t *testing.T, f *fixture) {
	f.blob("a", "elder")
	f.blob("a", "bystander")
	elder := record("elder")
	layer := f.derived("a", "layer", blobstore.Mapped, elder.Digest)
	view := f.derived("a", "view", blobstore.Framed, layer.Digest)
	disk := f.derived("a", "disk", blobstore.Mapped, digestOf("bystander"), view.Digest)

	moved := elder
	moved.Key = "objects/other"
	if done, err := f.Quarantine(f.ctx, moved, "not its object any more"); err != nil || done {
		t.Errorf("a quarantine by another object: %v, %v", done, err)
	}
	f.quarantine(elder)
	if done, err := f.Quarantine(f.ctx, elder, "again"); err != nil || done {
		t.Errorf("a second quarantine: %v, %v", done, err)
	}
	for _, d := range []digest.Digest{elder.Digest, layer.Digest, view.Digest, disk.Digest} {
		f.wantQuarantined("a", d, elder.Digest)
	}
	f.wantReadable("a", digestOf("bystander"))
	for repository, want := range map[string]int{"a": 1, "": 1, "b": 0} {
		found, err := f.Quarantined(f.ctx, repository, "", 10)
		f.must(err)
		if len(found) != want || want > 0 && (found[0].Digest != elder.Digest || found[0].Reason != "a bit flipped" || !found[0].Since.Equal(f.clock.Now())) {
			t.Errorf("in quarantine in %q: %+v", repository, found)
		}
	}
	f.must(f.Verified(f.ctx, elder))
	for _, d := range []digest.Digest{elder.Digest, layer.Digest, view.Digest, disk.Digest} {
		f.wantReadable("a", d)
	}
}

func testRepush(t *testing.T, f *fixture) {
	f.blob("a", "elder")
	layer := f.derived("a", "layer", blobstore.Mapped, digestOf("elder"))
	f.quarantine(record("elder"))

	// What cannot be read is replaced by what is pushed, also if only what it is
	// read from is damaged.
	push := func(name string) blobstore.Record {
		newer := record(name)
		newer.Key += "-again"
		got, err := f.CommitBlob(f.ctx, "b", newer, nil)
		f.must(err)
		same(t, got, newer)
		got, err = f.Blob(f.ctx, "a", newer.Digest)
		f.must(err)
		same(t, got, newer)
		return newer
	}
	f.quarantine(push("elder"))
	push("layer")

	// The evidence stays for a while, and nothing is restored from it.
	keys, err := f.DueTrash(f.ctx, 10)
	f.must(err)
	same(t, keys, []string(nil))
	f.clock.Pass(day)
	keys, err = f.DueTrash(f.ctx, 10)
	f.must(err)
	if len(keys) != 2 {
		t.Errorf("in the trash are %q", keys)
	}
	f.wantQuarantined("b", digestOf("elder"), digestOf("elder"))
	f.wantReadable("b", layer.Digest)
}

func testReplace(t *testing.T, f *fixture) {
	f.blob("a", "one")
	layer := f.derived("a", "layer", blobstore.Mapped, digestOf("one"))
	one := record("one")
	better := one
	better.Key = "objects/better"
	f.wantErr(f.ReplaceBlob(f.ctx, better, one.Key), metadata.ErrConflict) // it is not damaged
	f.quarantine(one)
	f.wantErr(f.ReplaceBlob(f.ctx, better, "objects/third"), metadata.ErrConflict)

	// It cannot come to be read from itself.
	circle := better
	circle.Kind, circle.Needs = blobstore.Mapped, []digest.Digest{layer.Digest}
	f.wantErr(f.ReplaceBlob(f.ctx, circle, one.Key), metadata.ErrBlobUnknown)
	circle.Needs = []digest.Digest{one.Digest}
	f.wantErr(f.ReplaceBlob(f.ctx, circle, one.Key), metadata.ErrBlobUnknown)
	f.wantQuarantined("a", one.Digest, one.Digest)

	f.must(f.ReplaceBlob(f.ctx, better, one.Key))
	got, err := f.LookupBlob(f.ctx, one.Digest)
	f.must(err)
	same(t, got, better)

	// What a map was read from is let go of with it.
	f.quarantine(layer)
	whole := record("layer")
	whole.Key = "objects/whole"
	f.must(f.ReplaceBlob(f.ctx, whole, layer.Key))
	f.must(f.RemoveBlob(f.ctx, "a", one.Digest))
	if _, err := f.Review(f.ctx, 100, func(string) time.Duration { return metadata.Forever }); err != nil {
		t.Fatal(err)
	}
	_, err = f.LookupBlob(f.ctx, one.Digest)
	f.wantErr(err, blobstore.ErrNotFound)
}

func testScrubClaims(t *testing.T, f *fixture) {
	claim := metadata.ScrubClaim{Age: day, Limit: 10, Bytes: 6, Hold: func(int64) time.Duration { return time.Hour }}
	names := func(c metadata.ScrubClaim) (names []string) {
		t.Helper()
		claimed, err := f.ClaimScrub(f.ctx, c)
		f.must(err)
		for _, b := range claimed {
			names = append(names, b.Key)
		}
		return names
	}
	for _, name := range []string{"one", "two", "long long", "new"} {
		if name == "new" {
			f.clock.Pass(23 * time.Hour)
		}
		f.blob("a", name)
		f.clock.Pass(time.Minute)
	}
	same(t, names(claim), []string(nil)) // nothing is due
	f.clock.Pass(time.Hour)
	same(t, names(claim), []string{"objects/one", "objects/two"}) // the third is too long
	same(t, names(claim), []string{"objects/long long"})          // alone it is not
	same(t, names(claim), []string(nil))
	f.must(f.Verified(f.ctx, record("one")))
	b, err := f.BlobToScrub(f.ctx, digestOf("two"))
	f.must(err)
	f.must(f.PutOffScrub(f.ctx, b))
	f.clock.Pass(time.Minute)
	same(t, names(claim), []string{"objects/two"}) // a minute after it failed
	b, err = f.BlobToScrub(f.ctx, digestOf("two"))
	f.must(err)
	f.must(f.PutOffScrub(f.ctx, b))
	f.clock.Pass(time.Minute)
	same(t, names(claim), []string(nil)) // two minutes, the second time
	f.clock.Pass(time.Hour)
	same(t, names(claim), []string{"objects/two"}) // and nobody came to an end with the long one
	same(t, names(claim), []string{"objects/long long"})

	state, err := f.ScrubState(f.ctx)
	f.must(err)
	if state.Oldest < day || state.Quarantined != 0 {
		t.Errorf("the state is %+v", state)
	}
	f.quarantine(record("long long"))
	repairs := claim
	repairs.Age = metadata.Repairs
	same(t, names(repairs), []string{"objects/long long"})
	same(t, names(repairs), []string(nil))
	state, err = f.ScrubState(f.ctx)
	f.must(err)
	if state.Quarantined != 1 {
		t.Errorf("the state is %+v", state)
	}
}
