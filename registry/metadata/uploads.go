package metadata

import (
	"context"
	"fmt"
	"time"

	"github.com/cloudlets/cloudlets/blobstore"
)

// Upload is an unfinished upload.
type Upload struct {
	ID         string
	Repository string
	State      blobstore.Upload
	// Version counts the changes: of two that begin with the same one, the
	// second fails.
	Version int64
	// Expires is when the upload is given up unless it is written to.
	Expires time.Time
}

// CreateUpload begins an upload to a repository, which is created if missing.
// The id is the caller's choice and must be impossible to guess.
func (s *Store) CreateUpload(ctx context.Context, repository, id string, state blobstore.Upload) (Upload, error) {
	u := Upload{ID: id, Repository: repository, State: state, Version: 1}
	err := s.update(ctx, fmt.Sprintf("begin upload to %s", repository), func(t *tx) error {
		repo, err := t.ensureRepository(repository)
		if err != nil {
			return err
		}
		expires := t.after(s.options.Upload)
		u.Expires = timeOf(expires)
		_, err = t.exec(`INSERT INTO uploads
			(id, repository_id, object_key, written, algorithm, hash_state, object_state, version, created, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
			id, repo, state.Key, state.Offset, string(state.Algorithm), state.HashState, state.ObjectState, u.Version, t.now, expires)
		return err
	})
	return u, err
}

// Upload returns an upload. The error wraps [ErrUploadUnknown] where there is
// none of that id in the repository, or it has expired.
func (s *Store) Upload(ctx context.Context, repository, id string) (Upload, error) {
	const query = `SELECT u.object_key, u.written, u.algorithm, u.hash_state, u.object_state, u.version, u.expires_at
		FROM uploads u JOIN repositories r ON r.id = u.repository_id
		WHERE u.id = $1 AND r.name = $2 AND u.expires_at > $3`
	u := Upload{ID: id, Repository: repository}
	var expires int64
	now, err := s.now(ctx)
	if err != nil {
		return Upload{}, fmt.Errorf("look up upload %s to %s: %w", id, repository, err)
	}
	err = s.get(ctx, query, []any{id, repository, now},
		[]any{&u.State.Key, &u.State.Offset, &u.State.Algorithm, &u.State.HashState, &u.State.ObjectState, &u.Version, &expires})
	if err != nil {
		return Upload{}, fmt.Errorf("look up upload %s to %s: %w", id, repository, orElse(err, ErrUploadUnknown))
	}
	u.Expires = timeOf(expires)
	return u, nil
}

// SaveUpload replaces the state of an upload and puts off its expiry. On
// success u has the new version; the error wraps [ErrConflict] where u does not
// have the latest one.
func (s *Store) SaveUpload(ctx context.Context, u *Upload, state blobstore.Upload) error {
	var expires int64
	err := s.update(ctx, "save upload "+u.ID, func(t *tx) error {
		expires = t.after(s.options.Upload)
		n, err := t.exec(`UPDATE uploads
			SET object_key = $1, written = $2, algorithm = $3, hash_state = $4, object_state = $5, version = version + 1, expires_at = $6
			WHERE id = $7 AND version = $8`,
			state.Key, state.Offset, string(state.Algorithm), state.HashState, state.ObjectState, expires, u.ID, u.Version)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrConflict
		}
		return nil
	})
	if err != nil {
		return err
	}
	u.State, u.Expires = state, timeOf(expires)
	u.Version++
	return nil
}

// CancelUpload ends an upload and trashes its object. The error wraps
// [ErrConflict] where u does not have the latest version.
func (s *Store) CancelUpload(ctx context.Context, u *Upload) error {
	return s.update(ctx, "cancel upload "+u.ID, func(t *tx) error {
		if err := t.endUpload(u); err != nil {
			return err
		}
		return t.trash(u.State.Key)
	})
}

// endUpload removes the row of an upload, if u is its latest version.
func (t *tx) endUpload(u *Upload) error {
	n, err := t.exec(`DELETE FROM uploads WHERE id = $1 AND version = $2`, u.ID, u.Version)
	if err == nil && n == 0 {
		return ErrConflict
	}
	return err
}

// ExpireUploads ends up to limit uploads that have expired, trashes their
// objects and returns how many there were.
func (s *Store) ExpireUploads(ctx context.Context, limit int) (n int, err error) {
	err = s.update(ctx, "expire uploads", func(t *tx) error {
		var expired []Upload
		var u Upload
		err := t.list(`SELECT id, version, object_key FROM uploads WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2`+t.dialect.skip,
			[]any{t.now, limit}, []any{&u.ID, &u.Version, &u.State.Key}, func() bool {
				expired = append(expired, u)
				return true
			})
		if err != nil {
			return err
		}
		for _, u := range expired {
			if err := t.endUpload(&u); err != nil {
				return err
			}
			if err := t.trash(u.State.Key); err != nil {
				return err
			}
		}
		n = len(expired)
		return nil
	})
	return n, err
}
