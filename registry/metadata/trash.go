package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
)

// claimTime is how long who claimed an object of the trash has to remove it
// before somebody else tries.
const claimTime = 10 * time.Minute

// trash puts an object that was never a blob, or lost to an older one, in the
// trash, to be removed at once.
func (t *tx) trash(key string) error {
	return t.discard(blobstore.Record{Key: key}, t.now)
}

// discard puts the object of a record in the trash, to be removed once notBefore
// has passed.
func (t *tx) discard(r blobstore.Record, notBefore int64) error {
	needs := make([]string, len(r.Needs))
	for i, d := range r.Needs {
		needs[i] = string(d)
	}
	_, err := t.exec(`INSERT INTO trash (object_key, not_before, doomed, digest, size, kind, needs)
		VALUES ($1, $2, 0, $3, $4, $5, $6) ON CONFLICT (object_key) DO NOTHING`,
		r.Key, notBefore, string(r.Digest), r.Size, string(r.Kind), strings.Join(needs, " "))
	return err
}

// DueTrash returns the keys of up to limit objects whose time to be removed has
// come, the longest due first.
func (s *Store) DueTrash(ctx context.Context, limit int) ([]string, error) {
	now, err := s.now(ctx)
	if err != nil {
		return nil, fmt.Errorf("list trash: %w", err)
	}
	keys, err := s.names(ctx, `SELECT object_key FROM trash WHERE not_before <= $1 ORDER BY not_before LIMIT $2`, now, limit)
	if err != nil {
		return nil, fmt.Errorf("list trash: %w", err)
	}
	return keys, nil
}

// ClaimTrash is [Store.DueTrash] for who is going to remove the objects: from
// now on no blob can be restored from them. They are due again after a while,
// for the case that the caller comes to nothing.
func (s *Store) ClaimTrash(ctx context.Context, limit int) (keys []string, err error) {
	err = s.update(ctx, "claim trash", func(t *tx) error {
		keys = nil
		var key string
		err := t.list(`SELECT object_key FROM trash WHERE not_before <= $1 ORDER BY not_before LIMIT $2`+t.dialect.skip,
			[]any{t.now, limit}, []any{&key}, func() bool {
				keys = append(keys, key)
				return true
			})
		if err != nil {
			return err
		}
		for _, key := range keys {
			if _, err := t.exec(`UPDATE trash SET doomed = 1, not_before = $1 WHERE object_key = $2`, t.after(claimTime), key); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// ForgetTrash takes objects that were removed off the trash. It returns how many
// bytes they had, as far as they were blobs that were kept whole.
func (s *Store) ForgetTrash(ctx context.Context, keys ...string) (freed int64, err error) {
	if len(keys) == 0 {
		return 0, nil
	}
	err = s.update(ctx, "forget trash", func(t *tx) error {
		freed = 0
		for _, key := range keys {
			var size int64
			var kind blobstore.Kind
			err := t.get(`DELETE FROM trash WHERE object_key = $1 RETURNING size, kind`, []any{key}, []any{&size, (*string)(&kind)})
			if err = orElse(err, nil); err != nil {
				return err
			}
			if kind == blobstore.Whole {
				freed += size
			}
		}
		return nil
	})
	return freed, err
}

// claimObject takes an object that is about to stand for a blob off the list of
// suspects. The error wraps blobstore.ErrNotFound where it was given up.
func (t *tx) claimObject(key string) error {
	if _, err := t.exec(`DELETE FROM suspects WHERE object_key = $1 AND given_up = 0`, key); err != nil {
		return err
	}
	lost, err := t.exists(`SELECT 1 WHERE EXISTS (SELECT 1 FROM suspects WHERE object_key = $1)
		OR EXISTS (SELECT 1 FROM trash WHERE object_key = $1)`, key)
	if err == nil && lost {
		return fmt.Errorf("object %s was given up, it took too long: %w", key, blobstore.ErrNotFound)
	}
	return err
}

// RestoreBlob puts a blob back into a repository that was collected from it,
// with a lease, if its object is still in the trash. The error wraps
// [ErrBlobUnknown] where it is not.
func (s *Store) RestoreBlob(ctx context.Context, repository string, d digest.Digest) error {
	return s.update(ctx, fmt.Sprintf("restore blob %s to %s", d, repository), func(t *tx) error {
		id, err := t.repository(repository)
		if err != nil {
			return err
		}
		if err := t.revive(d); err != nil {
			return err
		}
		if err := t.tellShared(id, EventPush, d, ""); err != nil {
			return err
		}
		return t.link(id, d)
	})
}

// revive makes a blob exist again, and the blobs that it is read from.
func (t *tx) revive(d digest.Digest) error {
	_, _, err := t.lockRecord(d, t.dialect.lock)
	if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	r := blobstore.Record{Digest: d}
	var needs string
	err = t.get(`SELECT object_key, size, kind, needs FROM trash WHERE digest = $1 AND digest <> '' AND doomed = 0
		ORDER BY not_before DESC LIMIT 1`+t.dialect.lock,
		[]any{string(d)}, []any{&r.Key, &r.Size, (*string)(&r.Kind), &needs})
	if err != nil {
		return orElse(err, fmt.Errorf("%s is not in the trash: %w", d, ErrBlobUnknown))
	}
	if _, err := t.exec(`DELETE FROM trash WHERE object_key = $1`, r.Key); err != nil {
		return err
	}
	for n := range strings.FieldsSeq(needs) {
		if err := t.revive(digest.Digest(n)); err != nil {
			return err
		}
		r.Needs = append(r.Needs, digest.Digest(n))
	}
	_, err = t.record(r)
	return err
}
