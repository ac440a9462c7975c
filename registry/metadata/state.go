package metadata

import (
	"context"
	"fmt"

	"github.com/cloudlets/cloudlets/blobstore"
)

// State is how much a store holds.
type State struct {
	Blobs     map[blobstore.Kind]Amount // the bytes are those of the content, however it is kept
	Trash     Amount                    // objects that wait to be removed
	Uploads   Amount                    // unfinished
	Renders   int64                     // that can be had without rendering again
	Queue     QueueLength
	Endpoints []EndpointState
}

// Amount is a number of things and their bytes.
type Amount struct{ Count, Bytes int64 }

// State counts what the store holds. That takes a pass over all blobs, so it is
// not for every request.
func (s *Store) State(ctx context.Context) (state State, err error) {
	state.Blobs = map[blobstore.Kind]Amount{}
	var kind string
	var amount Amount
	err = s.list(ctx, `SELECT kind, COUNT(*), CAST(SUM(size) AS BIGINT) FROM blobs GROUP BY kind`, nil, []any{&kind, &amount.Count, &amount.Bytes}, func() bool {
		state.Blobs[blobstore.Kind(kind)] = amount
		return true
	})
	if err != nil {
		return state, fmt.Errorf("count blobs: %w", err)
	}
	err = s.get(ctx, `SELECT (SELECT COUNT(*) FROM trash), (SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM trash WHERE kind = $1),
		(SELECT COUNT(*) FROM uploads), (SELECT CAST(COALESCE(SUM(written), 0) AS BIGINT) FROM uploads), (SELECT COUNT(*) FROM renders)`,
		[]any{string(blobstore.Whole)}, []any{&state.Trash.Count, &state.Trash.Bytes, &state.Uploads.Count, &state.Uploads.Bytes, &state.Renders})
	if err != nil {
		return state, fmt.Errorf("count uploads and trash: %w", err)
	}
	if state.Queue, err = s.QueueLength(ctx); err != nil {
		return state, err
	}
	state.Endpoints, err = s.Endpoints(ctx)
	return state, err
}
