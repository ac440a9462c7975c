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

var _ blobstore.Index = (*Store)(nil)

// LookupBlob returns the record of a blob, whichever repositories hold it. The
// error wraps blobstore.ErrNotFound where there is none, or is a
// [QuarantineError].
func (s *Store) LookupBlob(ctx context.Context, d digest.Digest) (blobstore.Record, error) {
	r := blobstore.Record{Digest: d}
	var q quarantine
	err := s.get(ctx, `SELECT size, kind, object_key, quarantined_at, quarantine_reason FROM blobs WHERE digest = $1`,
		[]any{string(d)}, []any{&r.Size, (*string)(&r.Kind), &r.Key, &q.since, &q.reason})
	if err == nil {
		r.Needs, err = s.readable(ctx, r, q)
	}
	if err != nil {
		return blobstore.Record{}, fmt.Errorf("look up blob %s: %w", d, orElse(err, ErrBlobUnknown))
	}
	return r, nil
}

const needsQuery = `SELECT needs FROM blob_needs WHERE digest = $1 ORDER BY position`

// readable returns the blobs that a blob is read from, and refuses one that must
// not be read.
func (s *Store) readable(ctx context.Context, r blobstore.Record, q quarantine) ([]digest.Digest, error) {
	if err := q.check(r.Digest, r.Digest); err != nil {
		return nil, err
	}
	needs, err := s.needs(ctx, r)
	if err != nil || len(needs) == 0 {
		return needs, err
	}
	return needs, checkBelow(r.Digest, func(query string, args, dest []any) error { return s.get(ctx, query, args, dest) })
}

// needs returns the blobs that a blob is read from.
func (s *Store) needs(ctx context.Context, r blobstore.Record) ([]digest.Digest, error) {
	if r.Kind == blobstore.Whole {
		return nil, nil
	}
	var needs []digest.Digest
	var d digest.Digest
	err := s.list(ctx, needsQuery, []any{string(r.Digest)}, []any{&d}, func() bool {
		needs = append(needs, d)
		return true
	})
	return needs, err
}

// Blob returns the record of a blob that a repository holds. The error wraps
// [ErrBlobUnknown] where it holds none of that digest, or is a
// [QuarantineError].
func (s *Store) Blob(ctx context.Context, repository string, d digest.Digest) (blobstore.Record, error) {
	r, _, err := s.blob(ctx, repository, d)
	return r, err
}

// PromiseBlob is [Store.Blob] for an answer on which a client may decide not to
// upload the blob: it takes a lease, so that the blob stays at least half of
// Options.Lease even if nothing refers to it.
func (s *Store) PromiseBlob(ctx context.Context, repository string, d digest.Digest) (blobstore.Record, error) {
	r, lease, err := s.blob(ctx, repository, d)
	if err != nil {
		return r, err
	}
	now, err := s.now(ctx)
	// Refreshing late keeps the many readers of a popular blob from queueing to
	// write one row.
	if err != nil || lease.Sub(timeOf(now)) > s.options.Lease/2 {
		return r, err
	}
	err = s.update(ctx, fmt.Sprintf("lease blob %s in %s", d, repository), func(t *tx) error {
		id, err := t.repository(repository)
		if err != nil {
			return err
		}
		if held, err := t.holds(id, d); err != nil || !held {
			return orUnknown(err)
		}
		return t.lease(id, d)
	})
	return r, err
}

// orUnknown is for a row that was looked for in vain.
func orUnknown(err error) error {
	if err == nil {
		return ErrBlobUnknown
	}
	return err
}

// heldBlob is a blob in a repository.
type heldBlob struct {
	record blobstore.Record
	lease  time.Time // when the last promise about it ends
}

// cost is what it takes to remember it, in bytes.
func (h heldBlob) cost() int64 {
	n := len(h.record.Digest) + len(h.record.Key)
	for _, d := range h.record.Needs {
		n += len(d)
	}
	return int64(n)
}

func (s *Store) blob(ctx context.Context, repository string, d digest.Digest) (r blobstore.Record, lease time.Time, err error) {
	const query = `SELECT b.size, b.kind, b.object_key, b.quarantined_at, b.quarantine_reason, COALESCE(l.expires_at, 0)
		FROM repositories r
		JOIN repository_blobs rb ON rb.repository_id = r.id
		JOIN blobs b ON b.digest = rb.digest
		LEFT JOIN leases l ON l.repository_id = r.id AND l.digest = rb.digest
		WHERE r.name = $1 AND rb.digest = $2`
	h, err := s.held.ask(question{query, repository, string(d)}, func() (h heldBlob, err error) {
		var expires int64
		var q quarantine
		h.record.Digest = d
		err = s.get(ctx, query, []any{repository, string(d)},
			[]any{&h.record.Size, (*string)(&h.record.Kind), &h.record.Key, &q.since, &q.reason, &expires})
		h.lease = timeOf(expires)
		if err == nil {
			h.record.Needs, err = s.readable(ctx, h.record, q)
		}
		return h, err
	})
	if err != nil {
		return blobstore.Record{}, time.Time{}, fmt.Errorf("look up blob %s in %s: %w", d, repository, orElse(err, ErrBlobUnknown))
	}
	return h.record, h.lease, nil
}

// Blobs returns the records of up to limit blobs that a repository holds, by
// digest, from after on. Needs is left out.
func (s *Store) Blobs(ctx context.Context, repository string, after digest.Digest, limit int) ([]blobstore.Record, error) {
	const query = `SELECT b.digest, b.size, b.kind, b.object_key
		FROM repositories r
		JOIN repository_blobs rb ON rb.repository_id = r.id
		JOIN blobs b ON b.digest = rb.digest
		WHERE r.name = $1 AND rb.digest > $2
		ORDER BY rb.digest LIMIT $3`
	var records []blobstore.Record
	var r blobstore.Record
	err := s.list(ctx, query, []any{repository, string(after), limit}, []any{&r.Digest, &r.Size, (*string)(&r.Kind), &r.Key}, func() bool {
		records = append(records, r)
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("list blobs of %s: %w", repository, err)
	}
	return records, nil
}

// CommitBlob makes a sealed object stand for its digest and puts the blob in a
// repository, with a lease. It returns the record that counts: where the digest
// was there already the older one, and the object of r goes to the trash.
//
// upload, if not nil, is the upload that wrote the object and ends with it. The
// error wraps [ErrConflict] where the upload was changed meanwhile and
// [ErrBlobUnknown] where a blob that r needs cannot be read; the object is then
// the caller's to remove.
func (s *Store) CommitBlob(ctx context.Context, repository string, r blobstore.Record, upload *Upload) (blobstore.Record, error) {
	var kept blobstore.Record
	err := s.update(ctx, fmt.Sprintf("commit blob %s to %s", r.Digest, repository), func(t *tx) error {
		if upload != nil {
			if err := t.endUpload(upload); err != nil {
				return err
			}
		}
		id, err := t.ensureRepository(repository)
		if err != nil {
			return err
		}
		if kept, err = t.record(r); err != nil {
			return err
		}
		t.tellBlob(id, EventPush, r.Digest, kept.Size, "")
		return t.link(id, r.Digest)
	})
	if err != nil {
		return blobstore.Record{}, err
	}
	return kept, nil
}

// record inserts the record of a blob, or returns the one that is there.
func (t *tx) record(r blobstore.Record) (blobstore.Record, error) {
	if err := t.claimObject(r.Key); err != nil {
		return r, err
	}
	n, err := t.exec(`INSERT INTO blobs (digest, size, kind, object_key, created, verified_at)
		VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (digest) DO NOTHING`,
		string(r.Digest), r.Size, string(r.Kind), r.Key, t.now)
	if err != nil {
		return r, err
	}
	if n == 0 {
		return t.older(r)
	}
	for i, d := range r.Needs {
		if err := t.need(r.Digest, i, d); err != nil {
			return r, err
		}
	}
	return r, nil
}

func (t *tx) need(d digest.Digest, position int, needs digest.Digest) error {
	if err := t.checkReadable(needs); err != nil {
		return fmt.Errorf("it is read from %s: %w", needs, err)
	}
	_, err := t.exec(`INSERT INTO blob_needs (digest, position, needs) VALUES ($1, $2, $3)`, string(d), position, string(needs))
	return err
}

// older returns the record that stands for a digest already and trashes the
// object of the newer one; or the newer one, if the older one is damaged.
func (t *tx) older(newer blobstore.Record) (blobstore.Record, error) {
	r, damaged, err := t.lockRecord(newer.Digest, t.dialect.lock)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return r, errAgain // it was collected meanwhile
	case err != nil || r.Key == newer.Key:
		return r, err
	}
	if damaged, err = t.orBelow(r, damaged); err != nil {
		return r, err
	}
	if damaged {
		return newer, t.replace(r, newer)
	}
	return r, t.trash(newer.Key)
}

// lockRecord reads the record of a blob with one of the dialect's locks, and
// whether the blob is in quarantine.
func (t *tx) lockRecord(d digest.Digest, lock string) (r blobstore.Record, quarantined bool, err error) {
	r.Digest = d
	var since int64
	err = t.get(`SELECT size, kind, object_key, quarantined_at FROM blobs WHERE digest = $1`+lock,
		[]any{string(d)}, []any{&r.Size, (*string)(&r.Kind), &r.Key, &since})
	if err != nil {
		return r, false, err
	}
	return r, since > 0, t.complete(&r)
}

// link puts a blob in a repository, with a lease, and lets the manifests there
// hold it that referred to it in its absence.
func (t *tx) link(repository int64, d digest.Digest) error {
	n, err := t.exec(`INSERT INTO repository_blobs (repository_id, digest, created) VALUES ($1, $2, $3)
		ON CONFLICT (repository_id, digest) DO NOTHING`, repository, string(d), t.now)
	if err != nil {
		return err
	}
	if n > 0 {
		if _, err := t.exec(`UPDATE manifest_refs SET blob = digest
			WHERE repository_id = $1 AND digest = $2 AND blob IS NULL AND child_id IS NULL`, repository, string(d)); err != nil {
			return err
		}
		if err := t.changed(EntryBlob, repository, string(d)); err != nil {
			return err
		}
	}
	return t.lease(repository, d)
}

func (t *tx) lease(repository int64, d digest.Digest) error {
	_, err := t.exec(`INSERT INTO leases (repository_id, digest, expires_at) VALUES ($1, $2, $3)
		ON CONFLICT (repository_id, digest) DO UPDATE SET expires_at = excluded.expires_at`,
		repository, string(d), t.after(t.options.Lease))
	return err
}

// holds says whether a blob is in a repository.
func (t *tx) holds(repository int64, d digest.Digest) (bool, error) {
	return t.exists(`SELECT 1 FROM repository_blobs WHERE repository_id = $1 AND digest = $2`, repository, string(d))
}

// MountBlob puts a blob that the repository from holds into another one, or, if
// from is empty, a blob that any repository holds. The error wraps
// [ErrBlobUnknown] where there is none, or is a [QuarantineError].
func (s *Store) MountBlob(ctx context.Context, repository, from string, d digest.Digest) error {
	return s.update(ctx, fmt.Sprintf("mount blob %s in %s", d, repository), func(t *tx) error {
		if held, err := t.heldBy(from, d); err != nil || !held {
			return orUnknown(err)
		}
		if err := t.checkReadable(d); err != nil {
			return err
		}
		id, err := t.ensureRepository(repository)
		if err != nil {
			return err
		}
		if err := t.tellShared(id, EventMount, d, from); err != nil {
			return err
		}
		return t.link(id, d)
	})
}

// heldBy says whether a repository holds a blob, or any one if from is empty.
func (t *tx) heldBy(from string, d digest.Digest) (bool, error) {
	if from == "" {
		return t.exists(`SELECT 1 FROM repository_blobs WHERE digest = $1 LIMIT 1`, string(d))
	}
	id, err := t.repository(from)
	if errors.Is(err, ErrRepositoryUnknown) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return t.holds(id, d)
}

// RemoveBlob takes a blob out of a repository. Its record and bytes stay until
// they are collected. The error wraps [ErrBlobUnknown] where the repository
// does not hold it and [ErrInUse] where one of its manifests needs it.
func (s *Store) RemoveBlob(ctx context.Context, repository string, d digest.Digest) error {
	return s.update(ctx, fmt.Sprintf("remove blob %s from %s", d, repository), func(t *tx) error {
		id, err := t.repository(repository)
		if err != nil {
			return err
		}
		if err := t.checkHold(id, string(d)); err != nil {
			return err
		}
		if user, err := t.blobUser(id, d); err != nil || user != "" {
			return inUse(user, err)
		}
		n, err := t.unlink(id, d)
		if err == nil && n == 0 {
			return ErrBlobUnknown
		}
		return err
	})
}

// unlink takes a blob out of a repository, whatever promises there are, and has
// it reviewed as such. It returns how many there were: none or one.
func (t *tx) unlink(repository int64, d digest.Digest) (int64, error) {
	if _, err := t.exec(`DELETE FROM leases WHERE repository_id = $1 AND digest = $2`, repository, string(d)); err != nil {
		return 0, err
	}
	n, err := t.exec(`DELETE FROM repository_blobs WHERE repository_id = $1 AND digest = $2`, repository, string(d))
	if err != nil || n == 0 {
		return n, err
	}
	t.tell(repository, Event{Action: EventDelete, Digest: d})
	if err := t.changed(EntryBlob, repository, string(d)); err != nil {
		return 0, err
	}
	// Nothing promised a blob that is in no repository: it may go at once.
	return n, t.enqueue(reviewBlob, 0, d, t.now)
}

// blobUser returns a manifest that refers to a blob, or "".
func (t *tx) blobUser(repository int64, d digest.Digest) (user string, err error) {
	err = t.get(`SELECT m.digest FROM manifest_refs f JOIN manifests m ON m.id = f.manifest_id
		WHERE f.repository_id = $1 AND f.blob = $2 LIMIT 1`, []any{repository, string(d)}, []any{&user})
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return user, err
}

func inUse(user string, err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("manifest %s refers to it: %w", user, ErrInUse)
}
