package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
)

// QuarantineError says that a blob is there and must not be read: its object is
// damaged, or that of a blob which it is read from. It wraps [ErrBlobUnknown],
// so that whoever asks whether a blob has to be uploaded is told that it has.
type QuarantineError struct {
	Digest digest.Digest // that was asked for
	Blob   digest.Digest // whose object is damaged: the same, or one it is read from
	Since  time.Time
	Reason string
}

func (e *QuarantineError) Error() string {
	what := "its object"
	if e.Blob != e.Digest {
		what = fmt.Sprintf("it is read from %s, whose object", e.Blob)
	}
	return fmt.Sprintf("blob %s is in quarantine: %s is damaged, as was found %s: %s", e.Digest, what, e.Since.Format(time.RFC3339), e.Reason)
}

func (e *QuarantineError) Unwrap() error { return ErrBlobUnknown }

// quarantine is what the row of a blob says about it.
type quarantine struct {
	since  int64
	reason string
}

func (q quarantine) check(d, blob digest.Digest) error {
	if q.since == 0 {
		return nil
	}
	return &QuarantineError{Digest: d, Blob: blob, Since: timeOf(q.since), Reason: q.reason}
}

// damagedBelow finds a blob in quarantine that a blob is read from. Such a state
// is nobody's own: it ends with that of the blob below.
const damagedBelow = `SELECT digest, quarantined_at, quarantine_reason FROM blobs
	WHERE quarantined_at > 0 AND digest IN (
		WITH RECURSIVE below (digest) AS (
			SELECT needs FROM blob_needs WHERE digest = $1
			UNION SELECT n.needs FROM blob_needs n JOIN below b ON n.digest = b.digest)
		SELECT digest FROM below)
	LIMIT 1`

// checkBelow refuses a blob that is read from one in quarantine.
func checkBelow(d digest.Digest, get func(query string, args, dest []any) error) error {
	var q quarantine
	var below digest.Digest
	err := get(damagedBelow, []any{string(d)}, []any{(*string)(&below), &q.since, &q.reason})
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return q.check(d, below)
}

// checkReadable refuses a blob that does not exist, is in quarantine, or is read
// from one that is.
func (t *tx) checkReadable(d digest.Digest) error {
	var q quarantine
	err := t.get(`SELECT quarantined_at, quarantine_reason FROM blobs WHERE digest = $1`, []any{string(d)}, []any{&q.since, &q.reason})
	if err != nil {
		return orElse(err, ErrBlobUnknown)
	}
	if err := q.check(d, d); err != nil {
		return err
	}
	return checkBelow(d, t.get)
}

// orBelow adds to whether a blob is in quarantine whether one is that it is read
// from.
func (t *tx) orBelow(r blobstore.Record, quarantined bool) (bool, error) {
	if quarantined || r.Kind == blobstore.Whole {
		return quarantined, nil
	}
	var below *QuarantineError
	err := checkBelow(r.Digest, t.get)
	if errors.As(err, &below) {
		return true, nil
	}
	return false, err
}

// Quarantine takes a blob out of service whose object, by the record r, was
// found damaged: nothing serves it or what is read from it until it is replaced
// or verified. It says whether it did: not if another object stands for the blob
// by now, or it is in quarantine already.
func (s *Store) Quarantine(ctx context.Context, r blobstore.Record, reason string) (done bool, err error) {
	err = s.update(ctx, fmt.Sprintf("quarantine blob %s", r.Digest), func(t *tx) error {
		n, err := t.exec(`UPDATE blobs SET quarantined_at = $1, quarantine_reason = $2, scrub_after = 0, scrub_attempts = 0
			WHERE digest = $3 AND object_key = $4 AND quarantined_at = 0`, t.now, reason, string(r.Digest), r.Key)
		done = n > 0
		return err
	})
	return done && err == nil, err
}

// ReplaceBlob lets the object of r stand for a blob instead of the one at the key
// from, which goes to the trash, kept for a while as evidence, and ends its
// quarantine. The error wraps [ErrConflict] where the blob is not kept at from any
// more, or is neither in quarantine nor read from one that is; and
// blobstore.ErrNotFound where the object of r was given up or a blob that it needs
// cannot be read. The object is the caller's to remove then.
func (s *Store) ReplaceBlob(ctx context.Context, r blobstore.Record, from string) error {
	return s.update(ctx, fmt.Sprintf("replace blob %s", r.Digest), func(t *tx) error {
		// It may be one that lost to the damaged object.
		if _, err := t.exec(`DELETE FROM trash WHERE object_key = $1 AND doomed = 0`, r.Key); err != nil {
			return err
		}
		if err := t.claimObject(r.Key); err != nil {
			return err
		}
		old, damaged, err := t.lockRecord(r.Digest, t.dialect.lock)
		if err != nil {
			return orElse(err, ErrConflict)
		}
		if damaged, err = t.orBelow(old, damaged); err != nil {
			return err
		}
		if !damaged || old.Key != from {
			return ErrConflict
		}
		return t.replace(old, r)
	})
}

// replace lets another object stand for a blob whose record is locked.
func (t *tx) replace(old, r blobstore.Record) error {
	if _, err := t.exec(`DELETE FROM blob_needs WHERE digest = $1`, string(r.Digest)); err != nil {
		return err
	}
	// While the blob is in quarantine still: so it cannot come to be read from
	// itself, by way of others.
	for i, d := range r.Needs {
		if err := t.need(r.Digest, i, d); err != nil {
			return err
		}
	}
	_, err := t.exec(`UPDATE blobs SET size = $1, kind = $2, object_key = $3, verified_at = $4,
		quarantined_at = 0, quarantine_reason = '', scrub_after = 0, scrub_attempts = 0 WHERE digest = $5`,
		r.Size, string(r.Kind), r.Key, t.now, string(r.Digest))
	if err != nil {
		return err
	}
	for _, d := range old.Needs {
		if err := t.enqueue(reviewBlob, 0, d, t.now); err != nil {
			return err
		}
	}
	// Without its digest: nothing is to be restored from it.
	return t.discard(blobstore.Record{Key: old.Key}, t.after(t.options.Trash))
}

// Quarantined is a blob in quarantine.
type Quarantined struct {
	blobstore.Record // Needs is left out
	Since            time.Time
	Reason           string
}

// Quarantined returns up to limit blobs in quarantine that a repository holds or,
// if that is "", all, by digest, from after on.
func (s *Store) Quarantined(ctx context.Context, repository string, after digest.Digest, limit int) ([]Quarantined, error) {
	const query = `SELECT digest, size, kind, object_key, quarantined_at, quarantine_reason FROM blobs
		WHERE quarantined_at > 0 AND digest > $1 AND ($2 = '' OR EXISTS (
			SELECT 1 FROM repository_blobs rb JOIN repositories r ON r.id = rb.repository_id
			WHERE rb.digest = blobs.digest AND r.name = $2))
		ORDER BY digest LIMIT $3`
	var found []Quarantined
	var q Quarantined
	var since int64
	err := s.list(ctx, query, []any{string(after), repository, limit},
		[]any{(*string)(&q.Digest), &q.Size, (*string)(&q.Kind), &q.Key, &since, &q.Reason}, func() bool {
			q.Since = timeOf(since)
			found = append(found, q)
			return true
		})
	if err != nil {
		return nil, fmt.Errorf("list blobs in quarantine: %w", err)
	}
	return found, nil
}
