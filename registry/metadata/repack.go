package metadata

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
)

// Packs returns the records of up to limit blobs, by digest, from after on, that
// are kept whole, not in quarantine, that no repository holds and that others are
// read from.
func (s *Store) Packs(ctx context.Context, after digest.Digest, limit int) ([]blobstore.Record, error) {
	packs, err := s.recordList(ctx, `SELECT digest, size, kind, object_key FROM blobs b
		WHERE digest > $1 AND kind = 'whole' AND size > 0 AND quarantined_at = 0
		AND EXISTS (SELECT 1 FROM blob_needs n WHERE n.needs = b.digest)
		AND NOT EXISTS (SELECT 1 FROM repository_blobs h WHERE h.digest = b.digest)
		ORDER BY digest LIMIT $2`, string(after), limit)
	if err != nil {
		return nil, fmt.Errorf("list packs: %w", err)
	}
	return packs, nil
}

// Dependents returns the records of the blobs that are read from a blob. Needs is
// left out.
func (s *Store) Dependents(ctx context.Context, d digest.Digest) ([]blobstore.Record, error) {
	records, err := s.recordList(ctx, `SELECT digest, size, kind, object_key FROM blobs b
		WHERE EXISTS (SELECT 1 FROM blob_needs n WHERE n.digest = b.digest AND n.needs = $1) ORDER BY digest`, string(d))
	if err != nil {
		return nil, fmt.Errorf("list what is read from blob %s: %w", d, err)
	}
	return records, nil
}

func (s *Store) recordList(ctx context.Context, query string, args ...any) ([]blobstore.Record, error) {
	var records []blobstore.Record
	var r blobstore.Record
	err := s.list(ctx, query, args, []any{(*string)(&r.Digest), &r.Size, (*string)(&r.Kind), &r.Key}, func() bool {
		records = append(records, r)
		return true
	})
	return records, err
}

// ReplacePack makes maps be read from another pack: maps are the records that
// were, moved those that are to be, of the same blobs and in the same order. A map
// that was collected or moved meanwhile is left alone, and its new object goes to
// the trash.
//
// What was read from before stays as long as blobs stay in the trash, for those
// who are reading. Then it is reviewed, and so is the pack, which nothing may need
// any more by then.
func (s *Store) ReplacePack(ctx context.Context, old digest.Digest, pack blobstore.Record, maps, moved []blobstore.Record) error {
	return s.update(ctx, fmt.Sprintf("replace pack %s", old), func(t *tx) error {
		if _, err := t.record(pack); err != nil {
			return err
		}
		for i, m := range moved {
			if err := t.moveMap(maps[i], m); err != nil {
				return fmt.Errorf("map of %s: %w", m.Digest, err)
			}
		}
		for _, d := range []digest.Digest{old, pack.Digest} {
			if err := t.enqueue(reviewBlob, 0, d, t.after(t.options.Trash)); err != nil {
				return err
			}
		}
		return nil
	})
}

// moveMap makes another object stand for a map, which needs other blobs.
func (t *tx) moveMap(from, to blobstore.Record) error {
	if err := t.claimObject(to.Key); err != nil {
		return err
	}
	n, err := t.exec(`UPDATE blobs SET object_key = $1 WHERE digest = $2 AND object_key = $3`, to.Key, string(to.Digest), from.Key)
	if err != nil {
		return err
	}
	if n == 0 {
		return t.trash(to.Key)
	}
	if _, err := t.exec(`DELETE FROM blob_needs WHERE digest = $1`, string(to.Digest)); err != nil {
		return err
	}
	for i, d := range to.Needs {
		if _, err := t.exec(`INSERT INTO blob_needs (digest, position, needs) VALUES ($1, $2, $3)`, string(to.Digest), i, string(d)); err != nil {
			return err
		}
	}
	return t.discard(blobstore.Record{Key: from.Key}, t.after(t.options.Trash))
}
