package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
)

// Forever is for manifests that are never garbage.
const Forever time.Duration = math.MaxInt64

// KeepUntagged says how long a repository keeps a manifest that no tag, index or
// subject holds, from when the last one let go of it.
type KeepUntagged func(repository string) time.Duration

const (
	// firstRetry and maxRetry bound the time until a review is tried again that
	// failed or met somebody else's lock. It doubles from one to the next.
	firstRetry = time.Minute
	maxRetry   = 24 * time.Hour
)

// Reviewed counts what came of reviews.
type Reviewed struct {
	Kept      int   `json:"kept"`      // in use
	Postponed int   `json:"postponed"` // promised, within its time, or in another transaction's hands
	Manifests int   `json:"manifests"` // removed
	Links     int   `json:"links"`     // blobs taken out of a repository
	Blobs     int   `json:"blobs"`     // records removed, objects in the trash
	Bytes     int64 `json:"bytes"`     // of those that are kept whole
}

// Total returns the number of reviews.
func (r Reviewed) Total() int { return r.Kept + r.Postponed + r.Manifests + r.Links + r.Blobs }

// Add adds other to r.
func (r *Reviewed) Add(other Reviewed) {
	r.Kept += other.Kept
	r.Postponed += other.Postponed
	r.Manifests += other.Manifests
	r.Links += other.Links
	r.Blobs += other.Blobs
	r.Bytes += other.Bytes
}

// review is an entry of gc_queue that is due.
type review struct {
	kind     string
	repo     int64
	digest   digest.Digest
	since    int64
	attempts int64
}

// Review decides on up to limit entries of the review queue that are due, all in
// one transaction, and removes what nothing holds: manifests that keep does not
// want, blobs from repositories, and blobs that no repository holds and no other
// blob is read from, whose objects go to the trash.
//
// Where a review fails none happens; the failed one is put off, and the error
// says which it was.
func (s *Store) Review(ctx context.Context, limit int, keep KeepUntagged) (done Reviewed, err error) {
	var failed *reviewError
	err = s.update(ctx, "review", func(t *tx) error {
		done = Reviewed{}
		_, err := t.reviewDue(limit, keep, &done)
		return err
	})
	if errors.As(err, &failed) {
		err = errors.Join(err, s.update(ctx, "put off review", func(t *tx) error { return t.retryLater(failed.review) }))
	}
	if err != nil {
		return Reviewed{}, err
	}
	return done, nil
}

// reviewError says which review failed.
type reviewError struct {
	review
	err error
}

func (e *reviewError) Error() string { return fmt.Sprintf("%s %s: %v", e.kind, e.digest, e.err) }
func (e *reviewError) Unwrap() error { return e.err }

// reviewDue decides on up to limit entries that are due and returns how many
// there were.
func (t *tx) reviewDue(limit int, keep KeepUntagged, done *Reviewed) (int, error) {
	due, err := t.dueReviews(limit)
	if err != nil {
		return 0, err
	}
	for _, r := range due {
		if err := t.review(r, keep, done); err != nil {
			return 0, &reviewError{r, err}
		}
	}
	return len(due), nil
}

// errUndo ends a transaction that was only to see what would happen.
var errUndo = errors.New("nothing is to change")

// ReviewDry says what [Store.ExpireLeases] and [Store.Review] would come to,
// called until nothing is due, and changes nothing. No other transaction can
// write meanwhile where there is only one writer.
func (s *Store) ReviewDry(ctx context.Context, keep KeepUntagged) (done Reviewed, err error) {
	err = s.update(ctx, "review", func(t *tx) error {
		done = Reviewed{}
		if _, err := t.expireLeases(math.MaxInt32); err != nil {
			return err
		}
		for {
			due, err := t.reviewDue(dryBatch, keep, &done)
			if err != nil {
				return err
			}
			if due == 0 {
				return errUndo
			}
		}
	})
	if errors.Is(err, errUndo) {
		err = nil
	}
	return done, err
}

// dryBatch is how many reviews are read at once by ReviewDry.
const dryBatch = 1000

func (t *tx) dueReviews(limit int) ([]review, error) {
	var due []review
	var r review
	err := t.list(`SELECT kind, repository_id, digest, since, attempts FROM gc_queue
		WHERE review_after <= $1 ORDER BY review_after LIMIT $2`+t.dialect.skip,
		[]any{t.now, limit}, []any{&r.kind, &r.repo, (*string)(&r.digest), &r.since, &r.attempts}, func() bool {
			due = append(due, r)
			return true
		})
	return due, err
}

// errBusy says that a row is in another transaction's hands: somebody needs it.
var errBusy = errors.New("in use by another transaction")

// review decides on one entry and takes it off the queue or puts it off.
func (t *tx) review(r review, keep KeepUntagged, done *Reviewed) error {
	var again int64
	var err error
	switch r.kind {
	case reviewManifest:
		again, err = t.reviewManifest(r, keep, done)
	case reviewLink:
		again, err = t.reviewLink(r, done)
	case reviewBlob:
		err = t.reviewBlob(r, done)
	default:
		err = fmt.Errorf("unknown kind %q", r.kind)
	}
	if errors.Is(err, errBusy) {
		done.Postponed++
		return t.retryLater(r)
	}
	if err != nil {
		return err
	}
	if again > 0 {
		done.Postponed++
		_, err = t.exec(`UPDATE gc_queue SET review_after = $1, attempts = 0 WHERE kind = $2 AND repository_id = $3 AND digest = $4`,
			again, r.kind, r.repo, string(r.digest))
		return err
	}
	_, err = t.exec(`DELETE FROM gc_queue WHERE kind = $1 AND repository_id = $2 AND digest = $3`, r.kind, r.repo, string(r.digest))
	return err
}

// retryLater puts a review off for longer each time.
func (t *tx) retryLater(r review) error {
	_, err := t.exec(`UPDATE gc_queue SET review_after = $1, attempts = $2 WHERE kind = $3 AND repository_id = $4 AND digest = $5`,
		t.after(retryWait(r.attempts)), r.attempts+1, r.kind, r.repo, string(r.digest))
	return err
}

// retryWait returns how long to wait after so many attempts that failed.
func retryWait(attempts int64) time.Duration {
	if attempts < 10 { // 2^10 minutes are under a day
		return firstRetry << attempts
	}
	return maxRetry
}

// reviewManifest removes a manifest that nothing holds and no policy keeps. It
// returns when to look again, or 0.
func (t *tx) reviewManifest(r review, keep KeepUntagged, done *Reviewed) (again int64, err error) {
	var id int64
	var subject digest.Digest
	err = t.lockOrBusy(`SELECT id, subject FROM manifests WHERE repository_id = $1 AND digest = $2`,
		[]any{r.repo, string(r.digest)}, []any{&id, (*string)(&subject)})
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil // gone already
	}
	if err != nil {
		return 0, err
	}
	held, err := t.manifestHeld(r, id, subject)
	if err != nil {
		return 0, err
	}
	if !held {
		if again, held, err = t.keptByPolicy(r, id, keep); err != nil || again > 0 {
			return again, err
		}
	}
	if held {
		done.Kept++
		return 0, nil
	}
	if err := t.bury(r.repo, id, r.digest, ""); err != nil {
		return 0, err
	}
	done.Manifests++
	return 0, nil
}

// manifestHeld says whether a tag, an index, a hold or a subject holds a
// manifest. An index is asked by digest: it may have been put while the manifest
// was.
func (t *tx) manifestHeld(r review, id int64, subject digest.Digest) (bool, error) {
	held, err := t.exists(`SELECT 1 WHERE EXISTS (SELECT 1 FROM tags WHERE manifest_id = $1)
		OR EXISTS (SELECT 1 FROM manifest_refs WHERE repository_id = $2 AND digest = $3 AND kind = 'child')
		OR EXISTS (SELECT 1 FROM holds WHERE repository_id = $2 AND reference = $3)`, id, r.repo, string(r.digest))
	if err != nil || held || subject == "" {
		return held, err
	}
	return t.exists(`SELECT 1 FROM manifests WHERE repository_id = $1 AND digest = $2`, r.repo, string(subject))
}

// keptByPolicy says whether the policy keeps a manifest that nothing holds, for
// ever or until again. What was rendered from an image that has gone can be
// rendered again, so it needs no policy to go.
func (t *tx) keptByPolicy(r review, id int64, keep KeepUntagged) (again int64, kept bool, err error) {
	rendered, err := t.exists(`SELECT 1 FROM renders WHERE manifest_id = $1 LIMIT 1`, id)
	if err != nil {
		return 0, false, err
	}
	age := t.options.Lease
	if !rendered {
		var repository string
		if err := t.get(`SELECT name FROM repositories WHERE id = $1`, []any{r.repo}, []any{&repository}); err != nil {
			return 0, false, err
		}
		age = keep(repository)
	}
	if age == Forever {
		return 0, true, nil
	}
	if until := r.since + age.Microseconds(); until > t.now {
		return until, false, nil
	}
	return 0, false, nil
}

// lockOrBusy locks a row, without waiting. The error wraps sql.ErrNoRows where
// there is none and errBusy where it is in another transaction's hands: a
// collector that never waits is never in anybody's way.
func (t *tx) lockOrBusy(query string, args, dest []any) error {
	err := t.get(query+t.dialect.skip, args, dest)
	if !errors.Is(err, sql.ErrNoRows) || t.dialect.skip == "" {
		return err
	}
	if err = t.get(query, args, dest); err == nil {
		return errBusy
	}
	return err
}

// reviewLink takes a blob out of a repository where no manifest, render, hold or
// lease needs it. It returns when to look again, or 0.
func (t *tx) reviewLink(r review, done *Reviewed) (again int64, err error) {
	var created int64
	err = t.lockOrBusy(`SELECT created FROM repository_blobs WHERE repository_id = $1 AND digest = $2`,
		[]any{r.repo, string(r.digest)}, []any{&created})
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	used, err := t.exists(`SELECT 1 WHERE EXISTS (SELECT 1 FROM manifest_refs WHERE repository_id = $1 AND digest = $2)
		OR EXISTS (SELECT 1 FROM renders WHERE repository_id = $1 AND blob = $2)
		OR EXISTS (SELECT 1 FROM holds WHERE repository_id = $1 AND reference = $2)`, r.repo, string(r.digest))
	if err != nil {
		return 0, err
	}
	if used {
		done.Kept++
		return 0, nil
	}
	var expires int64
	err = t.get(`SELECT expires_at FROM leases WHERE repository_id = $1 AND digest = $2`, []any{r.repo, string(r.digest)}, []any{&expires})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, err
	}
	if expires > t.now {
		return expires, nil
	}
	if _, err := t.unlink(r.repo, r.digest); err != nil {
		return 0, err
	}
	done.Links++
	return 0, nil
}

// reviewBlob removes the record of a blob that no repository holds and no other
// blob is read from. Its object goes to the trash.
func (t *tx) reviewBlob(r review, done *Reviewed) error {
	record, err := t.lockFreeRecord(r.digest)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	used, err := t.exists(`SELECT 1 WHERE EXISTS (SELECT 1 FROM repository_blobs WHERE digest = $1)
		OR EXISTS (SELECT 1 FROM blob_needs WHERE needs = $1)`, string(r.digest))
	if err != nil {
		return err
	}
	if used {
		done.Kept++
		return nil
	}
	if _, err := t.exec(`DELETE FROM blobs WHERE digest = $1`, string(r.digest)); err != nil {
		return err
	}
	for _, d := range record.Needs {
		if err := t.enqueue(reviewBlob, 0, d, t.now); err != nil {
			return err
		}
	}
	done.Blobs++
	if record.Kind == blobstore.Whole {
		done.Bytes += record.Size
	}
	return t.discard(record, t.after(t.options.Trash))
}

// lockFreeRecord is lockRecord that does not wait.
func (t *tx) lockFreeRecord(d digest.Digest) (blobstore.Record, error) {
	r, _, err := t.lockRecord(d, t.dialect.skip)
	if !errors.Is(err, sql.ErrNoRows) || t.dialect.skip == "" {
		return r, err
	}
	if _, _, err = t.lockRecord(d, ""); err == nil {
		return r, errBusy
	}
	return r, err
}
