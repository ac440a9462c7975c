package metadata

import (
	"context"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
)

// Grave is a manifest that was removed and can be put again: its blobs are still
// held, or in the trash for [Store.RestoreBlob].
type Grave struct {
	Digest    digest.Digest
	MediaType string
	Raw       []byte
	Removed   time.Time
	Expires   time.Time
}

// Grave returns a manifest that was removed from a repository. The error wraps
// [ErrManifestUnknown] where there is none, or its time is over.
func (s *Store) Grave(ctx context.Context, repository string, d digest.Digest) (Grave, error) {
	g := Grave{Digest: d}
	var removed, expires int64
	err := s.get(ctx, `SELECT g.media_type, g.raw, g.removed, g.expires_at
		FROM repositories r JOIN graves g ON g.repository_id = r.id WHERE r.name = $1 AND g.digest = $2`,
		[]any{repository, string(d)}, []any{&g.MediaType, &g.Raw, &removed, &expires})
	if err != nil {
		return Grave{}, fmt.Errorf("look up removed manifest %s of %s: %w", d, repository, orElse(err, ErrManifestUnknown))
	}
	g.Removed, g.Expires = timeOf(removed), timeOf(expires)
	return g, nil
}

// Graves returns the manifests that were removed from a repository, the last
// removed first, without their bytes.
func (s *Store) Graves(ctx context.Context, repository string, limit int) ([]Grave, error) {
	var graves []Grave
	var g Grave
	var removed, expires int64
	err := s.list(ctx, `SELECT g.digest, g.media_type, g.removed, g.expires_at
		FROM repositories r JOIN graves g ON g.repository_id = r.id WHERE r.name = $1
		ORDER BY g.removed DESC, g.digest LIMIT $2`,
		[]any{repository, limit}, []any{(*string)(&g.Digest), &g.MediaType, &removed, &expires}, func() bool {
			g.Removed, g.Expires = timeOf(removed), timeOf(expires)
			graves = append(graves, g)
			return true
		})
	if err != nil {
		return nil, fmt.Errorf("list removed manifests of %s: %w", repository, err)
	}
	return graves, nil
}

// ExpireGraves forgets up to limit removed manifests whose time is over, and
// returns how many there were.
func (s *Store) ExpireGraves(ctx context.Context, limit int) (n int, err error) {
	err = s.update(ctx, "expire removed manifests", func(t *tx) error {
		deleted, err := t.exec(`DELETE FROM graves WHERE (repository_id, digest) IN
			(SELECT repository_id, digest FROM graves WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2`+t.dialect.skip+`)`, t.now, limit)
		n = int(deleted)
		return err
	})
	return n, err
}
