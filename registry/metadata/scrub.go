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

// ScrubClaim says which blobs somebody is going to verify.
type ScrubClaim struct {
	// Age is how long ago a blob was verified that is due. Where it is negative
	// blobs in quarantine are claimed instead, to be repaired.
	Age time.Duration
	// Limit bounds how many, and Bytes how many bytes they have together, beyond
	// the first.
	Limit int
	Bytes int64
	// Hold returns how long nobody else is to claim a blob of a size, should the
	// caller come to nothing.
	Hold func(size int64) time.Duration
}

// Repairs is the Age of a claim of blobs in quarantine.
const Repairs time.Duration = -1

// Scrubbing is a blob that somebody claimed.
type Scrubbing struct {
	blobstore.Record
	Quarantined bool
	attempts    int64
}

// ClaimScrub returns blobs that are due to be verified, those verified longest
// ago first, and keeps them from others for a while.
func (s *Store) ClaimScrub(ctx context.Context, c ScrubClaim) (claimed []Scrubbing, err error) {
	err = s.update(ctx, "claim blobs to verify", func(t *tx) error {
		if claimed, err = t.scrubbable(c); err != nil {
			return err
		}
		var total int64
		for i := range claimed {
			if total += claimed[i].Size; i > 0 && total > c.Bytes {
				claimed = claimed[:i]
				break
			}
			if err := t.complete(&claimed[i].Record); err != nil {
				return err
			}
			if _, err := t.exec(`UPDATE blobs SET scrub_after = $1 WHERE digest = $2`,
				t.after(c.Hold(claimed[i].Size)), string(claimed[i].Digest)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

// scrubbable returns blobs that are due and nobody has claimed. Needs is left out.
func (t *tx) scrubbable(c ScrubClaim) (due []Scrubbing, err error) {
	query := `SELECT digest, size, kind, object_key, scrub_attempts FROM blobs
		WHERE quarantined_at = 0 AND verified_at <= $1 AND scrub_after <= $2 ORDER BY verified_at LIMIT $3`
	args := []any{t.after(-c.Age), t.now, c.Limit}
	if c.Age < 0 {
		query = `SELECT digest, size, kind, object_key, scrub_attempts FROM blobs
			WHERE quarantined_at > 0 AND scrub_after <= $1 ORDER BY scrub_after LIMIT $2`
		args = args[1:]
	}
	one := Scrubbing{Quarantined: c.Age < 0}
	err = t.list(query+t.dialect.skip, args,
		[]any{(*string)(&one.Digest), &one.Size, (*string)(&one.Kind), &one.Key, &one.attempts}, func() bool {
			due = append(due, one)
			return true
		})
	return due, err
}

// BlobToScrub returns one blob as ClaimScrub would, due or not, claimed by
// somebody or not. The error wraps [ErrBlobUnknown] where there is none.
func (s *Store) BlobToScrub(ctx context.Context, d digest.Digest) (b Scrubbing, err error) {
	err = s.update(ctx, fmt.Sprintf("look up blob %s", d), func(t *tx) error {
		var since int64
		err := t.get(`SELECT size, kind, object_key, scrub_attempts, quarantined_at FROM blobs WHERE digest = $1`,
			[]any{string(d)}, []any{&b.Size, (*string)(&b.Kind), &b.Key, &b.attempts, &since})
		if err != nil {
			return orElse(err, ErrBlobUnknown)
		}
		b.Digest, b.Needs, b.Quarantined = d, nil, since > 0
		return t.complete(&b.Record)
	})
	return b, err
}

// complete adds to a record what its blob is read from.
func (t *tx) complete(r *blobstore.Record) error {
	if r.Kind == blobstore.Whole {
		return nil
	}
	r.Needs = nil
	var needs digest.Digest
	return t.list(needsQuery, []any{string(r.Digest)}, []any{&needs}, func() bool {
		r.Needs = append(r.Needs, needs)
		return true
	})
}

// Verified notes that the objects of records were found sound just now, which
// ends a quarantine. One that does not stand for its blob any more is passed over.
func (s *Store) Verified(ctx context.Context, records ...blobstore.Record) error {
	if len(records) == 0 {
		return nil
	}
	return s.update(ctx, "note verified blobs", func(t *tx) error {
		for _, r := range records {
			_, err := t.exec(`UPDATE blobs SET verified_at = $1, quarantined_at = 0, quarantine_reason = '', scrub_after = 0, scrub_attempts = 0
				WHERE digest = $2 AND object_key = $3`, t.now, string(r.Digest), r.Key)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// PutOffScrub has a blob tried again later, each time after longer, that could
// neither be verified nor repaired.
func (s *Store) PutOffScrub(ctx context.Context, b Scrubbing) error {
	return s.update(ctx, fmt.Sprintf("put off blob %s", b.Digest), func(t *tx) error {
		_, err := t.exec(`UPDATE blobs SET scrub_after = $1, scrub_attempts = $2 WHERE digest = $3 AND object_key = $4`,
			t.after(retryWait(b.attempts)), b.attempts+1, string(b.Digest), b.Key)
		return err
	})
}

// ScrubState is how far the scrub has come.
type ScrubState struct {
	Oldest      time.Duration // since the blob was verified that was so longest ago, those in quarantine left out
	Quarantined int64         // blobs
}

// ScrubState returns how far the scrub has come.
func (s *Store) ScrubState(ctx context.Context) (state ScrubState, err error) {
	now, err := s.now(ctx)
	if err != nil {
		return state, fmt.Errorf("look up the state of the scrub: %w", err)
	}
	oldest := now
	err = s.get(ctx, `SELECT verified_at FROM blobs WHERE quarantined_at = 0 ORDER BY verified_at LIMIT 1`, nil, []any{&oldest})
	if err == nil || errors.Is(err, sql.ErrNoRows) {
		err = s.get(ctx, `SELECT COUNT(*) FROM blobs WHERE quarantined_at > 0`, nil, []any{&state.Quarantined})
	}
	if err != nil {
		return state, fmt.Errorf("look up the state of the scrub: %w", err)
	}
	state.Oldest = time.Duration(max(0, now-oldest)) * time.Microsecond
	return state, nil
}
