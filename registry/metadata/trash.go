package metadata

import (
	"context"
	"fmt"
)

// trash puts an object in the trash, to be removed once notBefore (microseconds
// since 1970) has passed.
func (t *tx) trash(key string, notBefore int64) error {
	_, err := t.exec(`INSERT INTO trash (object_key, not_before) VALUES ($1, $2)
		ON CONFLICT (object_key) DO NOTHING`, key, notBefore)
	return err
}

// DueTrash returns the keys of up to limit objects whose time to be removed has
// come, the longest due first.
func (s *Store) DueTrash(ctx context.Context, limit int) ([]string, error) {
	keys, err := s.names(ctx, `SELECT object_key FROM trash WHERE not_before <= $1 ORDER BY not_before LIMIT $2`, s.now(), limit)
	if err != nil {
		return nil, fmt.Errorf("list trash: %w", err)
	}
	return keys, nil
}

// ForgetTrash takes objects that were removed off the trash.
func (s *Store) ForgetTrash(ctx context.Context, keys ...string) error {
	if len(keys) == 0 {
		return nil
	}
	return s.update(ctx, "forget trash", func(t *tx) error {
		for _, key := range keys {
			if _, err := t.exec(`DELETE FROM trash WHERE object_key = $1`, key); err != nil {
				return err
			}
		}
		return nil
	})
}
