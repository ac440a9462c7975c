package metadata

import (
	"context"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
)

// What can be garbage: the kinds of gc_queue.
const (
	reviewManifest = "manifest" // a manifest of a repository
	reviewLink     = "link"     // a blob in a repository
	reviewBlob     = "blob"     // a blob as such: its repository is 0
)

// onQueued is what happens to an entry of the queue that is there already: it is
// put off, for whoever let go of it last has the same time as the others.
const onQueued = ` ON CONFLICT (kind, repository_id, digest) DO UPDATE SET since = excluded.since, attempts = 0, review_after =
	CASE WHEN excluded.review_after > gc_queue.review_after THEN excluded.review_after ELSE gc_queue.review_after END`

// enqueue has something reviewed once after (microseconds since 1970) has
// passed. Every transaction that lets go of something does it.
func (t *tx) enqueue(kind string, repo int64, d digest.Digest, after int64) error {
	_, err := t.exec(`INSERT INTO gc_queue (kind, repository_id, digest, since, review_after, attempts)
		VALUES ($1, $2, $3, $4, $5, 0)`+onQueued, kind, repo, string(d), t.now, after)
	return err
}

// release lets go of a manifest: a tag, say, points elsewhere.
func (t *tx) release(repo int64, d digest.Digest) error {
	return t.enqueue(reviewManifest, repo, d, t.after(t.options.Lease))
}

// releaseHeld lets go of what a manifest that is about to be removed holds — its
// blobs, its children — and of its referrers, which its being there holds.
func (t *tx) releaseHeld(repo, manifest int64, d digest.Digest) error {
	after := t.after(t.options.Lease)
	_, err := t.exec(`INSERT INTO gc_queue (kind, repository_id, digest, since, review_after, attempts)
		SELECT DISTINCT 'link', repository_id, blob, CAST($2 AS BIGINT), CAST($3 AS BIGINT), 0 FROM manifest_refs
		WHERE manifest_id = $1 AND blob IS NOT NULL`+onQueued, manifest, t.now, after)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO gc_queue (kind, repository_id, digest, since, review_after, attempts)
		SELECT 'manifest', repository_id, digest, CAST($4 AS BIGINT), CAST($5 AS BIGINT), 0 FROM manifests
		WHERE id IN (SELECT child_id FROM manifest_refs WHERE manifest_id = $1)
		OR (repository_id = $2 AND subject = $3 AND subject <> '')`+onQueued,
		manifest, repo, string(d), t.now, after)
	return err
}

// ExpireLeases ends up to limit leases that are over, has the blobs reviewed
// that they were about, and returns how many there were.
func (s *Store) ExpireLeases(ctx context.Context, limit int) (n int, err error) {
	err = s.update(ctx, "expire leases", func(t *tx) error {
		n, err = t.expireLeases(limit)
		return err
	})
	return n, err
}

func (t *tx) expireLeases(limit int) (int, error) {
	type lease struct {
		repo   int64
		digest digest.Digest
	}
	var expired []lease
	var l lease
	err := t.list(`SELECT repository_id, digest FROM leases WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2`+t.dialect.skip,
		[]any{t.now, limit}, []any{&l.repo, (*string)(&l.digest)}, func() bool {
			expired = append(expired, l)
			return true
		})
	if err != nil {
		return 0, err
	}
	for _, l := range expired {
		if _, err := t.exec(`DELETE FROM leases WHERE repository_id = $1 AND digest = $2`, l.repo, string(l.digest)); err != nil {
			return 0, err
		}
		if err := t.enqueue(reviewLink, l.repo, l.digest, t.now); err != nil {
			return 0, err
		}
	}
	return len(expired), nil
}

// ClaimDuty says whether the caller is to do what one process does for all, and
// if so puts it off for everybody by interval. One that was put off by more than
// that is due: the interval was longer then.
func (s *Store) ClaimDuty(ctx context.Context, name string, interval time.Duration) (mine bool, err error) {
	err = s.update(ctx, "claim duty "+name, func(t *tx) error {
		n, err := t.exec(`INSERT INTO duties (name, due_at) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET due_at = excluded.due_at
			WHERE duties.due_at <= $3 OR duties.due_at > excluded.due_at`,
			name, t.after(interval), t.now)
		mine = n > 0
		return err
	})
	return mine && err == nil, err
}

// ReviewUntagged has the manifests of a repository reviewed that no tag points
// to and that are not to be reviewed already. It is for policies that came after
// the manifests: those count as let go of now.
func (s *Store) ReviewUntagged(ctx context.Context, repository string) error {
	return s.update(ctx, "review untagged manifests of "+repository, func(t *tx) error {
		repo, err := t.repository(repository)
		if err != nil {
			return err
		}
		_, err = t.exec(`INSERT INTO gc_queue (kind, repository_id, digest, since, review_after, attempts)
			SELECT 'manifest', m.repository_id, m.digest, CAST($2 AS BIGINT), CAST($3 AS BIGINT), 0 FROM manifests m
			WHERE m.repository_id = $1 AND NOT EXISTS (SELECT 1 FROM tags t WHERE t.manifest_id = m.id)
			ON CONFLICT (kind, repository_id, digest) DO NOTHING`, repo, t.now, t.after(t.options.Lease))
		return err
	})
}

// QueueLength is how much waits for the collector.
type QueueLength struct {
	Reviews   int64         // entries of the review queue
	Due       int64         // those whose time has come
	OldestDue time.Duration // how long the one that waits longest has been due
	Leases    int64
	Trash     int64 // objects
}

// QueueLength counts what waits for the collector.
func (s *Store) QueueLength(ctx context.Context) (q QueueLength, err error) {
	now, err := s.now(ctx)
	if err != nil {
		return q, fmt.Errorf("count reviews: %w", err)
	}
	var oldest int64
	err = s.get(ctx, `SELECT (SELECT COUNT(*) FROM gc_queue),
		(SELECT COUNT(*) FROM gc_queue WHERE review_after <= $1),
		(SELECT COALESCE(MIN(review_after), $1) FROM gc_queue),
		(SELECT COUNT(*) FROM leases), (SELECT COUNT(*) FROM trash)`, []any{now},
		[]any{&q.Reviews, &q.Due, &oldest, &q.Leases, &q.Trash})
	if err != nil {
		return q, fmt.Errorf("count reviews: %w", err)
	}
	q.OldestDue = time.Duration(max(0, now-oldest)) * time.Microsecond
	return q, nil
}
