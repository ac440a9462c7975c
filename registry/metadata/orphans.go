package metadata

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// knownObject finds whatever refers to an object.
const knownObject = `SELECT 1 WHERE EXISTS (SELECT 1 FROM blobs WHERE object_key = $1)
	OR EXISTS (SELECT 1 FROM uploads WHERE object_key = $1)
	OR EXISTS (SELECT 1 FROM trash WHERE object_key = $1)
	OR EXISTS (SELECT 1 FROM journals WHERE object_key = $1)`

// UnknownObjects returns those of the given objects that nothing refers to: no
// blob, no upload, no journal, not the trash.
func (s *Store) UnknownObjects(ctx context.Context, keys []string) (unknown []string, err error) {
	var one int
	for _, key := range keys {
		err := s.get(ctx, knownObject, []any{key}, []any{&one})
		if err = orElse(err, errUnknown); errors.Is(err, errUnknown) {
			unknown = append(unknown, key)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look up object %s: %w", key, err)
		}
	}
	return unknown, nil
}

var errUnknown = errors.New("unknown")

// SuspectObjects is told of objects that the store has and nothing refers to.
// Those it was told of before, longer ago than twice Options.Upload, and that
// nothing refers to still, go to the trash: what was writing them is dead. It
// returns how many. Only the store's own clock counts, not the object's time.
func (s *Store) SuspectObjects(ctx context.Context, keys []string) (trashed int, err error) {
	err = s.update(ctx, "suspect objects", func(t *tx) error {
		trashed = 0
		for _, key := range keys {
			orphan, err := t.suspect(key)
			if err != nil {
				return fmt.Errorf("object %s: %w", key, err)
			}
			if orphan {
				trashed++
			}
		}
		return nil
	})
	return trashed, err
}

// suspect notes that an object was seen, and trashes an orphan. The row of the
// suspect is what a commit of the object waits for: see claimObject.
func (t *tx) suspect(key string) (orphan bool, err error) {
	var first int64
	err = t.get(`INSERT INTO suspects (object_key, first_seen, last_seen, given_up) VALUES ($1, $2, $2, 0)
		ON CONFLICT (object_key) DO UPDATE SET last_seen = excluded.last_seen RETURNING first_seen`,
		[]any{key, t.now}, []any{&first})
	if err != nil || first+2*t.options.Upload.Microseconds() > t.now {
		return false, err
	}
	if known, err := t.exists(knownObject, key); err != nil || known {
		return false, err
	}
	if _, err := t.exec(`UPDATE suspects SET given_up = 1 WHERE object_key = $1`, key); err != nil {
		return false, err
	}
	return true, t.trash(key)
}

// Now returns the store's time.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	now, err := s.now(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask for the time: %w", err)
	}
	return timeOf(now), nil
}

// ForgetSuspects ends the suspicion of objects that were not seen since a time:
// they are gone, or known by now.
func (s *Store) ForgetSuspects(ctx context.Context, since time.Time) error {
	return s.update(ctx, "forget suspects", func(t *tx) error {
		_, err := t.exec(`DELETE FROM suspects WHERE last_seen < $1 AND given_up = 0`, since.UnixMicro())
		return err
	})
}

// Bind ties the database to the store that keeps its objects, by an id: the first
// one for good. The error wraps [ErrOtherStore] where it is tied to another: what
// one has orphaned would be the other's blobs.
func (s *Store) Bind(ctx context.Context, id string) error {
	return s.update(ctx, "tie the database to its blobs", func(t *tx) error {
		if _, err := t.exec(`INSERT INTO properties (name, value) VALUES ('store', $1) ON CONFLICT (name) DO NOTHING`, id); err != nil {
			return err
		}
		var bound string
		if err := t.get(`SELECT value FROM properties WHERE name = 'store'`, nil, []any{&bound}); err != nil {
			return err
		}
		if bound != id {
			return fmt.Errorf("%w: expected %s, found %s", ErrOtherStore, bound, id)
		}
		return nil
	})
}
