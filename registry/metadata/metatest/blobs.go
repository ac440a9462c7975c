package metatest

import (
	"reflect"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

func testCommit(t *testing.T, f *fixture) {
	want := record("one")
	_, err := f.LookupBlob(f.ctx, want.Digest)
	f.wantErr(err, blobstore.ErrNotFound)
	got, err := f.CommitBlob(f.ctx, "a/b", want, nil)
	f.must(err)
	same(t, got, want)
	got, err = f.LookupBlob(f.ctx, want.Digest)
	f.must(err)
	same(t, got, want)
	got, err = f.Blob(f.ctx, "a/b", want.Digest)
	f.must(err)
	same(t, got, want)
	for _, elsewhere := range []string{"a", "a/b/c", ""} {
		_, err = f.Blob(f.ctx, elsewhere, want.Digest)
		f.wantErr(err, metadata.ErrBlobUnknown)
	}
}

func same(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
}

func testDuplicate(t *testing.T, f *fixture) {
	older := record("one")
	f.blob("a", "one")
	newer := older
	newer.Key = "objects/again"
	got, err := f.CommitBlob(f.ctx, "b", newer, nil)
	f.must(err)
	same(t, got, older)
	keys, err := f.DueTrash(f.ctx, 10)
	f.must(err)
	same(t, keys, []string{"objects/again"})
	got, err = f.Blob(f.ctx, "b", older.Digest)
	f.must(err)
	same(t, got, older)

	// Committing the very same object twice must not trash it.
	_, err = f.CommitBlob(f.ctx, "a", older, nil)
	f.must(err)
	keys, err = f.DueTrash(f.ctx, 10)
	f.must(err)
	same(t, keys, []string{"objects/again"})
}

func testNeeds(t *testing.T, f *fixture) {
	r := record("map")
	r.Kind = blobstore.Mapped
	r.Needs = []digest.Digest{digestOf("two"), digestOf("one")}
	f.blob("a", "one")
	_, err := f.CommitBlob(f.ctx, "a", r, nil)
	f.wantErr(err, metadata.ErrBlobUnknown)
	_, err = f.LookupBlob(f.ctx, r.Digest)
	f.wantErr(err, blobstore.ErrNotFound)

	f.blob("b", "two")
	_, err = f.CommitBlob(f.ctx, "a", r, nil)
	f.must(err)
	got, err := f.LookupBlob(f.ctx, r.Digest)
	f.must(err)
	same(t, got, r)
	got, err = f.Blob(f.ctx, "a", r.Digest)
	f.must(err)
	same(t, got, r)

	again := r
	again.Key = "objects/map-again"
	got, err = f.CommitBlob(f.ctx, "a", again, nil)
	f.must(err)
	same(t, got, r)
}

func testMount(t *testing.T, f *fixture) {
	d := f.blob("a", "one")
	f.wantErr(f.MountBlob(f.ctx, "c", "b", d), metadata.ErrBlobUnknown)
	f.wantErr(f.MountBlob(f.ctx, "c", "a", digestOf("two")), metadata.ErrBlobUnknown)
	f.wantErr(f.MountBlob(f.ctx, "c", "", digestOf("two")), metadata.ErrBlobUnknown)
	f.must(f.MountBlob(f.ctx, "b", "a", d))
	f.must(f.MountBlob(f.ctx, "b", "a", d))
	f.must(f.MountBlob(f.ctx, "c", "", d))
	for _, repository := range []string{"b", "c"} {
		got, err := f.Blob(f.ctx, repository, d)
		f.must(err)
		same(t, got, record("one"))
	}
}

func testRemoveBlob(t *testing.T, f *fixture) {
	d := f.blob("a", "one")
	f.must(f.MountBlob(f.ctx, "b", "a", d))
	m := put("a", "manifest", layer(d))
	f.must(f.PutManifest(f.ctx, m))
	f.wantErr(f.RemoveBlob(f.ctx, "a", d), metadata.ErrInUse)
	_, err := f.Blob(f.ctx, "a", d)
	f.must(err)
	f.must(f.DeleteManifest(f.ctx, "a", m.Manifest.Digest, "tester"))
	f.must(f.RemoveBlob(f.ctx, "a", d))
	f.wantErr(f.RemoveBlob(f.ctx, "a", d), metadata.ErrBlobUnknown)
	f.wantErr(f.RemoveBlob(f.ctx, "nowhere", d), blobstore.ErrNotFound)
	_, err = f.Blob(f.ctx, "a", d)
	f.wantErr(err, metadata.ErrBlobUnknown)
	_, err = f.Blob(f.ctx, "b", d)
	f.must(err)
}

func testPromise(t *testing.T, f *fixture) {
	d := f.blob("a", "one")
	for range 5 { // renewed whenever less than half is left
		_, err := f.PromiseBlob(f.ctx, "a", d)
		f.must(err)
		f.clock.Pass(day * 2 / 3)
	}
	_, err := f.PromiseBlob(f.ctx, "a", digestOf("two"))
	f.wantErr(err, metadata.ErrBlobUnknown)
	_, err = f.PromiseBlob(f.ctx, "nowhere", d)
	f.wantErr(err, metadata.ErrBlobUnknown)
}

func testListBlobs(t *testing.T, f *fixture) {
	want := map[digest.Digest]bool{}
	for _, content := range []string{"one", "two", "three", "four", "five"} {
		want[f.blob("a", content)] = true
	}
	f.blob("b", "six")
	var last digest.Digest
	for len(want) > 0 {
		page, err := f.Blobs(f.ctx, "a", last, 2)
		f.must(err)
		if len(page) == 0 || len(page) > 2 {
			t.Fatalf("a page has %d blobs, want 1 or 2", len(page))
		}
		for _, r := range page {
			if r.Digest <= last || !want[r.Digest] {
				t.Fatalf("%s is not a blob that comes after %s", r.Digest, last)
			}
			last = r.Digest
			delete(want, r.Digest)
		}
	}
}

func upload(f *fixture, id string) metadata.Upload {
	f.T.Helper()
	u, err := f.CreateUpload(f.ctx, "a/b", id, blobstore.Upload{Key: "uploads/" + id, Algorithm: digest.SHA512, HashState: []byte("0")})
	f.must(err)
	return u
}

func testUpload(t *testing.T, f *fixture) {
	u := upload(f, "id")
	got, err := f.Upload(f.ctx, "a/b", "id")
	f.must(err)
	same(t, got, u)
	next := blobstore.Upload{Key: "uploads/other", Offset: 1 << 40, Algorithm: digest.SHA512, HashState: []byte{0, 1, 255}, ObjectState: []byte{255, 0}}
	f.clock.Pass(time.Hour)
	f.must(f.SaveUpload(f.ctx, &u, next))
	got, err = f.Upload(f.ctx, "a/b", "id")
	f.must(err)
	same(t, got, u)
	same(t, got.State, next)
	same(t, got.Expires, f.clock.Now().Add(day))
	_, err = f.Upload(f.ctx, "a", "id")
	f.wantErr(err, metadata.ErrUploadUnknown)
	_, err = f.Upload(f.ctx, "a/b", "other")
	f.wantErr(err, metadata.ErrUploadUnknown)
	f.must(f.CancelUpload(f.ctx, &u))
	_, err = f.Upload(f.ctx, "a/b", "id")
	f.wantErr(err, metadata.ErrUploadUnknown)
	keys, err := f.DueTrash(f.ctx, 10)
	f.must(err)
	same(t, keys, []string{"uploads/other"})
}

func testUploadConflict(t *testing.T, f *fixture) {
	first := upload(f, "id")
	second := first
	f.must(f.SaveUpload(f.ctx, &first, blobstore.Upload{Key: "uploads/id", Offset: 7, Algorithm: digest.SHA256, HashState: []byte("7")}))
	f.wantErr(f.SaveUpload(f.ctx, &second, second.State), metadata.ErrConflict)
	f.wantErr(f.CancelUpload(f.ctx, &second), metadata.ErrConflict)
	_, err := f.CommitBlob(f.ctx, "a/b", record("one"), &second)
	f.wantErr(err, metadata.ErrConflict)
	_, err = f.LookupBlob(f.ctx, digestOf("one"))
	f.wantErr(err, blobstore.ErrNotFound)
	got, err := f.Upload(f.ctx, "a/b", "id")
	f.must(err)
	same(t, got, first)
	f.must(f.SaveUpload(f.ctx, &first, first.State))
}

func testUploadExpiry(t *testing.T, f *fixture) {
	upload(f, "one")
	f.clock.Pass(day / 2)
	late := upload(f, "two")
	f.clock.Pass(day / 2)
	_, err := f.Upload(f.ctx, "a/b", "one")
	f.wantErr(err, metadata.ErrUploadUnknown)
	n, err := f.ExpireUploads(f.ctx, 10)
	f.must(err)
	same(t, n, 1)
	keys, err := f.DueTrash(f.ctx, 10)
	f.must(err)
	same(t, keys, []string{"uploads/one"})
	got, err := f.Upload(f.ctx, "a/b", "two")
	f.must(err)
	same(t, got, late)
}

func testUploadCommit(t *testing.T, f *fixture) {
	u := upload(f, "id")
	_, err := f.CommitBlob(f.ctx, "a/b", record("one"), &u)
	f.must(err)
	_, err = f.Upload(f.ctx, "a/b", "id")
	f.wantErr(err, metadata.ErrUploadUnknown)
	_, err = f.Blob(f.ctx, "a/b", digestOf("one"))
	f.must(err)
	keys, err := f.DueTrash(f.ctx, 10)
	f.must(err)
	same(t, len(keys), 0)
}

func testTrash(t *testing.T, f *fixture) {
	for _, id := range []string{"one", "two", "three"} {
		u := upload(f, id)
		f.must(f.CancelUpload(f.ctx, &u))
		f.clock.Pass(time.Second)
	}
	keys, err := f.DueTrash(f.ctx, 2)
	f.must(err)
	same(t, keys, []string{"uploads/one", "uploads/two"})
	f.forget(keys...)
	f.forget()
	keys, err = f.DueTrash(f.ctx, 2)
	f.must(err)
	same(t, keys, []string{"uploads/three"})
	f.clock.Pass(-day)
	keys, err = f.DueTrash(f.ctx, 2)
	f.must(err)
	same(t, len(keys), 0)
}
