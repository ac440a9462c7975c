package metatest

import (
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
)

// testUsage counts blobs once, maps not at all, and uploads as far as they are.
func testUsage(t *testing.T, f *fixture) {
	commit := func(repository string, r blobstore.Record) {
		_, err := f.CommitBlob(f.ctx, repository, r, nil)
		f.must(err)
	}
	whole := func(content string, size int64) blobstore.Record {
		r := record(content)
		r.Kind, r.Size = blobstore.Whole, size
		return r
	}
	shared := whole("shared", 100)
	commit("golden", shared)
	f.must(f.MountBlob(f.ctx, "golden/a", "golden", shared.Digest))
	f.must(f.MountBlob(f.ctx, "other", "golden", shared.Digest))
	commit("golden/a", whole("own", 10))
	commit("goldener", whole("not golden", 1000))
	disk := record("disk")
	disk.Kind, disk.Size, disk.Needs = blobstore.Mapped, 1<<40, []digest.Digest{shared.Digest}
	commit("golden/a", disk)
	u := upload(f, "under way") // in a/b
	state := u.State
	state.Offset = 7
	f.must(f.SaveUpload(f.ctx, &u, state))
	for prefix, want := range map[string]int64{"golden": 110, "golden/a": 110, "goldener": 1000, "other": 100, "absent": 0, "a": 7, "": 1117} {
		got, err := f.Usage(f.ctx, prefix)
		f.must(err)
		if got != want {
			t.Errorf("%q occupies %d bytes, want %d", prefix, got, want)
		}
	}
}
