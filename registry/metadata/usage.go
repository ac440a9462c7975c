package metadata

import (
	"context"
	"fmt"

	"github.com/cloudlets/cloudlets/blobstore"
)

// Usage returns how many bytes the repositories below a prefix occupy: each blob
// that is kept whole, once, and what unfinished uploads have written. Blobs that
// are read from others, and manifests, take no place worth counting. A prefix is
// whole parts of a name; empty is all repositories.
func (s *Store) Usage(ctx context.Context, prefix string) (bytes int64, err error) {
	// No repository name has a byte from ~ on, and 0 follows / in ASCII.
	low, high := prefix+"/", prefix+"0"
	if prefix == "" {
		low, high = "", "~"
	}
	const query = `SELECT CAST(
		COALESCE((SELECT SUM(b.size) FROM blobs b JOIN (
			SELECT DISTINCT h.digest AS digest FROM repository_blobs h JOIN repositories r ON r.id = h.repository_id
			WHERE r.name = $1 OR (r.name >= $2 AND r.name < $3)) held ON held.digest = b.digest
			WHERE b.kind = $4), 0) +
		COALESCE((SELECT SUM(u.written) FROM uploads u JOIN repositories r ON r.id = u.repository_id
			WHERE r.name = $1 OR (r.name >= $2 AND r.name < $3)), 0) AS BIGINT)`
	if err := s.get(ctx, query, []any{prefix, low, high, string(blobstore.Whole)}, []any{&bytes}); err != nil {
		return 0, fmt.Errorf("measure what %q occupies: %w", prefix, err)
	}
	return bytes, nil
}
