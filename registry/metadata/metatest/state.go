package metatest

import (
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

func testState(t *testing.T, f *fixture) {
	f.watch("ci")
	source := f.blob("a", "source")
	gone := f.blob("a", "gone")
	f.must(f.MountBlob(f.ctx, "b", "a", source))
	disk := record("disk")
	disk.Kind, disk.Size, disk.Needs = blobstore.Mapped, 1000, []digest.Digest{source}
	_, err := f.CommitBlob(f.ctx, "a", disk, nil)
	f.must(err)
	u := upload(f, "under way")
	saved := u.State
	saved.Offset = 7
	f.must(f.SaveUpload(f.ctx, &u, saved))
	f.must(f.RemoveBlob(f.ctx, "a", gone))
	f.collect(forever)
	state, err := f.State(f.ctx)
	f.must(err)
	same(t, len(state.Blobs), 2)
	same(t, state.Blobs[blobstore.Whole], metadata.Amount{Count: 1, Bytes: 6})
	same(t, state.Blobs[blobstore.Mapped], metadata.Amount{Count: 1, Bytes: 1000})
	same(t, state.Trash, metadata.Amount{Count: 1, Bytes: 4})
	same(t, state.Uploads, metadata.Amount{Count: 1, Bytes: 7})
	same(t, state.Renders, int64(0))
	same(t, len(state.Endpoints), 1)
	same(t, state.Endpoints[0].Pending, int64(5))
	f.clock.Pass(2 * day)
	keys, err := f.ClaimTrash(f.ctx, 10)
	f.must(err)
	same(t, f.forget(keys...), int64(4))
}
