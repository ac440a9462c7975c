package scrub

import (
	"context"
	"errors"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// Commit is metadata.Store.CommitBlob for an object that somebody took the trouble
// to send: if an older one stands for its digest and is missing or too short, which
// nobody has noticed yet, the new one stands for the blob from now on. That costs
// one look at the older object, and only where there is one.
func Commit(ctx context.Context, blobs *blobstore.Store, meta *metadata.Store, repository string, r blobstore.Record, upload *metadata.Upload) (blobstore.Record, error) {
	if older, err := meta.LookupBlob(ctx, r.Digest); err == nil && older.Key != r.Key {
		if err := checkAll(ctx, blobs, meta, older); err != nil {
			return blobstore.Record{}, err
		}
	}
	return meta.CommitBlob(ctx, repository, r, upload)
}

// checkAll puts a blob in quarantine whose object is missing or too short, and those
// that it is read from.
func checkAll(ctx context.Context, blobs *blobstore.Store, meta *metadata.Store, r blobstore.Record) error {
	if err := blobs.Check(ctx, r); errors.Is(err, blobstore.ErrDamaged) {
		_, err := quarantine(ctx, meta, r, err)
		return err
	}
	for _, d := range r.Needs {
		below, err := meta.LookupBlob(ctx, d)
		if errors.Is(err, blobstore.ErrNotFound) {
			continue // it is in quarantine
		}
		if err != nil {
			return err
		}
		if err := checkAll(ctx, blobs, meta, below); err != nil {
			return err
		}
	}
	return nil
}
