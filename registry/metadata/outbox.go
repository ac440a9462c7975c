package metadata

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Queued is an event of the outbox.
type Queued struct {
	Position int64 // greater than those of all events before it
	Event    Event
}

// pageBytes bounds the encoded events that are read at once; one is always read.
const pageBytes = 8 << 20

// EventsWritten returns where this process is told, sooner or later, that it has
// written events. One receiver uses it.
func (s *Store) EventsWritten() <-chan struct{} { return s.written }

// tellWritten wakes the receiver, unless it has been woken already.
func (s *Store) tellWritten() {
	select {
	case s.written <- struct{}{}:
	default:
	}
}

// RenewEndpoints says that a process wants endpoints to be told of changes: of
// those from now on, where one is new. Endpoints that no process has renewed for
// the time forget are forgotten, with what they were not told; their names are
// returned.
func (s *Store) RenewEndpoints(ctx context.Context, names []string, forget time.Duration) (forgotten []string, err error) {
	err = s.update(ctx, "renew endpoints of events", func(t *tx) error {
		forgotten = nil
		for _, name := range names {
			_, err := t.exec(`INSERT INTO event_endpoints (name, position, owner, owned_until, renewed)
				VALUES ($1, (SELECT COALESCE(MAX(id), 0) FROM events), '', 0, $2)
				ON CONFLICT (name) DO UPDATE SET renewed = excluded.renewed`, name, t.now)
			if err != nil {
				return err
			}
		}
		var name string
		err := t.list(`DELETE FROM event_endpoints WHERE renewed < $1 RETURNING name`, []any{t.after(-forget)}, []any{&name}, func() bool {
			forgotten = append(forgotten, name)
			return true
		})
		if err != nil {
			return err
		}
		return t.removeDelivered()
	})
	return forgotten, err
}

// removeDelivered removes the events that all endpoints have.
func (t *tx) removeDelivered() error {
	_, err := t.exec(`DELETE FROM events WHERE id <= (SELECT COALESCE(MIN(position), (SELECT COALESCE(MAX(id), 0) FROM events)) FROM event_endpoints)`)
	return err
}

// Backlog says whether there are events that an endpoint does not have.
func (s *Store) Backlog(ctx context.Context, endpoint string) (bool, error) {
	var one int
	err := s.get(ctx, `SELECT 1 FROM event_endpoints p WHERE p.name = $1
		AND EXISTS (SELECT 1 FROM events e WHERE e.id > p.position)`, []any{endpoint}, []any{&one})
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for events for %s: %w", endpoint, err)
	}
	return true, nil
}

// ClaimEndpoint makes a process the only one that tells an endpoint, for a time,
// unless another one is that. A process that is it already stays it. position is
// that of the last event that the endpoint has.
func (s *Store) ClaimEndpoint(ctx context.Context, endpoint, owner string, lease time.Duration) (position int64, mine bool, err error) {
	err = s.update(ctx, "claim endpoint "+endpoint, func(t *tx) error {
		err := t.get(`UPDATE event_endpoints SET owner = $1, owned_until = $2
			WHERE name = $3 AND (owner = $1 OR owned_until <= $4) RETURNING position`,
			[]any{owner, t.after(lease), endpoint, t.now}, []any{&position})
		mine = err == nil
		return orElse(err, nil)
	})
	return position, mine && err == nil, err
}

// ReleaseEndpoint lets another process tell an endpoint at once.
func (s *Store) ReleaseEndpoint(ctx context.Context, endpoint, owner string) error {
	return s.update(ctx, "release endpoint "+endpoint, func(t *tx) error {
		_, err := t.exec(`UPDATE event_endpoints SET owner = '', owned_until = 0 WHERE name = $1 AND owner = $2`, endpoint, owner)
		return err
	})
}

// QueuedEvents returns up to limit events after a position, in the order in
// which they were committed.
func (s *Store) QueuedEvents(ctx context.Context, after int64, limit int) ([]Queued, error) {
	var queued []Queued
	var position int64
	var body sql.RawBytes
	var broken error
	size := 0
	err := s.list(ctx, `SELECT id, body FROM events WHERE id > $1 ORDER BY id LIMIT $2`, []any{after, limit}, []any{&position, &body}, func() bool {
		q := Queued{Position: position}
		if broken = json.Unmarshal(body, &q.Event); broken != nil {
			broken = fmt.Errorf("event %d: %w", position, broken)
			return false
		}
		queued = append(queued, q)
		size += len(body)
		return size < pageBytes
	})
	if err = errors.Join(err, broken); err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	return queued, nil
}

// AdvanceEndpoint notes that an endpoint has all events up to a position, and
// renews its owner's lease. Events that all endpoints have are removed. The error
// wraps [ErrConflict] where the endpoint is not the owner's any more.
func (s *Store) AdvanceEndpoint(ctx context.Context, endpoint, owner string, position int64, lease time.Duration) error {
	return s.update(ctx, "advance endpoint "+endpoint, func(t *tx) error {
		n, err := t.exec(`UPDATE event_endpoints SET position = $1, owned_until = $2
			WHERE name = $3 AND owner = $4 AND position <= $1`, position, t.after(lease), endpoint, owner)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrConflict
		}
		return t.removeDelivered()
	})
}

// TrimEvents bounds the outbox: events that are older than maxAge, or that come
// before the last maxRows, are removed. It returns how many each endpoint will
// never be told of.
func (s *Store) TrimEvents(ctx context.Context, maxAge time.Duration, maxRows int64) (dropped map[string]int64, err error) {
	err = s.update(ctx, "trim events", func(t *tx) error {
		dropped = map[string]int64{}
		var cut int64
		// Ids have hardly any gaps, so the last rows are the last ids.
		err := t.get(`SELECT CASE WHEN old > many THEN old ELSE many END FROM (SELECT
			(SELECT COALESCE(MAX(id), 0) FROM events WHERE at < $1) AS old,
			(SELECT COALESCE(MAX(id), 0) FROM events) - CAST($2 AS BIGINT) AS many) cuts`, []any{t.after(-maxAge), maxRows}, []any{&cut})
		if err != nil || cut <= 0 {
			return err
		}
		var name string
		var n int64
		err = t.list(`SELECT p.name, COUNT(*) FROM event_endpoints p JOIN events e ON e.id > p.position AND e.id <= $1 GROUP BY p.name`,
			[]any{cut}, []any{&name, &n}, func() bool {
				dropped[name] = n
				return true
			})
		if err != nil {
			return err
		}
		_, err = t.exec(`DELETE FROM events WHERE id <= $1`, cut)
		return err
	})
	if err != nil {
		return nil, err
	}
	return dropped, nil
}

// EndpointState is how far an endpoint was told.
type EndpointState struct {
	Name    string
	Pending int64         // events that it does not have
	Oldest  time.Duration // how long ago the first of them was
}

// Endpoints returns the state of all endpoints, by name.
func (s *Store) Endpoints(ctx context.Context) ([]EndpointState, error) {
	now, err := s.now(ctx)
	if err != nil {
		return nil, fmt.Errorf("list endpoints of events: %w", err)
	}
	var states []EndpointState
	var state EndpointState
	var oldest int64
	err = s.list(ctx, `SELECT p.name, COUNT(e.id), COALESCE(MIN(e.at), $1) FROM event_endpoints p
		LEFT JOIN events e ON e.id > p.position GROUP BY p.name ORDER BY p.name`,
		[]any{now}, []any{&state.Name, &state.Pending, &oldest}, func() bool {
			state.Oldest = time.Duration(max(0, now-oldest)) * time.Microsecond
			states = append(states, state)
			return true
		})
	if err != nil {
		return nil, fmt.Errorf("list endpoints of events: %w", err)
	}
	return states, nil
}
