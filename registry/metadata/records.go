package metadata

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
)

// Records returns the records of up to limit blobs, of all repositories and of
// none, by digest, from after on. Needs is left out.
func (s *Store) Records(ctx context.Context, after digest.Digest, limit int) ([]blobstore.Record, error) {
	var records []blobstore.Record
	var r blobstore.Record
	err := s.list(ctx, `SELECT digest, size, kind, object_key FROM blobs WHERE digest > $1 ORDER BY digest LIMIT $2`,
		[]any{string(after), limit}, []any{(*string)(&r.Digest), &r.Size, (*string)(&r.Kind), &r.Key}, func() bool {
			records = append(records, r)
			return true
		})
	if err != nil {
		return nil, fmt.Errorf("list blobs: %w", err)
	}
	return records, nil
}

// Holders returns the names of up to limit repositories that hold a blob.
func (s *Store) Holders(ctx context.Context, d digest.Digest, limit int) ([]string, error) {
	names, err := s.names(ctx, `SELECT r.name FROM repository_blobs rb JOIN repositories r ON r.id = rb.repository_id
		WHERE rb.digest = $1 ORDER BY r.name LIMIT $2`, string(d), limit)
	if err != nil {
		return nil, fmt.Errorf("list the repositories of blob %s: %w", d, err)
	}
	return names, nil
}
