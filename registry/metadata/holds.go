package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
)

// Hold forbids that something of a repository goes away.
type Hold struct {
	// Reference is a digest — that manifest or blob is not removed — or a tag,
	// which is neither removed nor moved, so that its manifest stays too.
	Reference string
	Reason    string
	Actor     string
	Created   time.Time // the store's to say
}

// SetHold puts what the repository has on hold. The error wraps
// [ErrManifestUnknown] where it has no such tag, manifest or blob.
func (s *Store) SetHold(ctx context.Context, repository string, h Hold) error {
	return s.update(ctx, fmt.Sprintf("hold %s in %s", h.Reference, repository), func(t *tx) error {
		repo, err := t.holder(repository)
		if err != nil {
			return err
		}
		if err := t.lockReference(repo, h.Reference); err != nil {
			return orElse(err, ErrManifestUnknown)
		}
		return t.insertHold(repo, h, t.now)
	})
}

func (t *tx) insertHold(repo int64, h Hold, created int64) error {
	_, err := t.exec(`INSERT INTO holds (repository_id, reference, reason, actor, created) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (repository_id, reference) DO UPDATE SET reason = excluded.reason, actor = excluded.actor`,
		repo, h.Reference, h.Reason, h.Actor, created)
	if err != nil {
		return err
	}
	return t.changed(EntryHold, repo, h.Reference)
}

// lockReference locks the row of a tag, a manifest or a blob of a repository, or
// returns sql.ErrNoRows.
func (t *tx) lockReference(repo int64, reference string) error {
	var created int64
	for _, query := range []string{
		`SELECT updated FROM tags WHERE repository_id = $1 AND name = $2`,
		`SELECT created FROM manifests WHERE repository_id = $1 AND digest = $2`,
		`SELECT created FROM repository_blobs WHERE repository_id = $1 AND digest = $2`,
	} {
		err := t.get(query+t.dialect.lock, []any{repo, reference}, []any{&created})
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
	}
	return sql.ErrNoRows
}

// LiftHold ends a hold. What it held is reviewed in time. The error wraps
// [ErrManifestUnknown] where there is no such hold.
func (s *Store) LiftHold(ctx context.Context, repository, reference string) error {
	return s.update(ctx, fmt.Sprintf("lift hold of %s in %s", reference, repository), func(t *tx) error {
		repo, err := t.holder(repository)
		if err != nil {
			return err
		}
		n, err := t.exec(`DELETE FROM holds WHERE repository_id = $1 AND reference = $2`, repo, reference)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrManifestUnknown
		}
		if err := t.changed(EntryHold, repo, reference); err != nil {
			return err
		}
		after := t.after(t.options.Lease)
		if err := t.enqueue(reviewManifest, repo, digest.Digest(reference), after); err != nil {
			return err
		}
		return t.enqueue(reviewLink, repo, digest.Digest(reference), after)
	})
}

// Holds returns the holds of a repository, by reference.
func (s *Store) Holds(ctx context.Context, repository string) ([]Hold, error) {
	var holds []Hold
	var h Hold
	var created int64
	err := s.list(ctx, `SELECT h.reference, h.reason, h.actor, h.created
		FROM repositories r JOIN holds h ON h.repository_id = r.id WHERE r.name = $1 ORDER BY h.reference`,
		[]any{repository}, []any{&h.Reference, &h.Reason, &h.Actor, &created}, func() bool {
			h.Created = timeOf(created)
			holds = append(holds, h)
			return true
		})
	if err != nil {
		return nil, fmt.Errorf("list holds of %s: %w", repository, err)
	}
	return holds, nil
}

// checkHold returns an error that wraps ErrHeld where there is a hold. The row
// of what may be held must be locked.
func (t *tx) checkHold(repo int64, reference string) error {
	var reason string
	err := t.get(`SELECT reason FROM holds WHERE repository_id = $1 AND reference = $2`, []any{repo, reference}, []any{&reason})
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return &HeldError{Reference: reference, Reason: reason}
}
