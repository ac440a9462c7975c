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

// RepointBlob makes another object stand for a blob, of the same kind and
// content: fsck has found that the object it had is damaged. The error wraps
// [ErrConflict] where the blob is not kept in from, and blobstore.ErrNotFound
// where to was given up.
func (s *Store) RepointBlob(ctx context.Context, d digest.Digest, from, to string) error {
	return s.update(ctx, fmt.Sprintf("repoint blob %s", d), func(t *tx) error {
		if _, err := t.exec(`DELETE FROM trash WHERE object_key = $1 AND doomed = 0`, to); err != nil {
			return err
		}
		if err := t.claimObject(to); err != nil {
			return err
		}
		n, err := t.exec(`UPDATE blobs SET object_key = $1, verified_at = $2 WHERE digest = $3 AND object_key = $4`, to, t.now, string(d), from)
		if err == nil && n == 0 {
			return ErrConflict
		}
		return err
	})
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
