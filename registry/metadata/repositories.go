package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// repository returns the row of a repository.
func (t *tx) repository(name string) (id int64, err error) {
	err = t.get(`SELECT id FROM repositories WHERE name = $1`, []any{name}, []any{&id})
	return id, orElse(err, ErrRepositoryUnknown)
}

// holder is repository for what is looked for in it: without a repository there
// is no manifest.
func (t *tx) holder(name string) (id int64, err error) {
	id, err = t.repository(name)
	if errors.Is(err, ErrRepositoryUnknown) {
		return 0, ErrManifestUnknown
	}
	return id, err
}

// ensureRepository returns the row of a repository, which is created if missing.
func (t *tx) ensureRepository(name string) (id int64, err error) {
	id, err = t.repository(name)
	if !errors.Is(err, ErrRepositoryUnknown) {
		return id, err
	}
	if _, err := t.exec(`INSERT INTO repositories (name, created) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, name, t.now); err != nil {
		return 0, err
	}
	if id, err = t.repository(name); err != nil {
		return 0, err
	}
	return id, t.changed(EntryRepository, id, "")
}

// Repositories returns the names of up to limit repositories that hold a
// manifest, sorted bytewise, from after on.
func (s *Store) Repositories(ctx context.Context, after string, limit int) ([]string, error) {
	const query = `SELECT name FROM repositories r
		WHERE name > $1 AND EXISTS (SELECT 1 FROM manifests m WHERE m.repository_id = r.id)
		ORDER BY name LIMIT $2`
	names, err := s.names(ctx, query, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list repositories: %w", err)
	}
	return names, nil
}

// repositoryID returns the row of a repository, outside of a transaction: a
// repository is never removed.
func (s *Store) repositoryID(ctx context.Context, name string) (id int64, err error) {
	err = s.get(ctx, `SELECT id FROM repositories WHERE name = $1`, []any{name}, []any{&id})
	return id, orElse(err, ErrRepositoryUnknown)
}

// names runs a query that gives one column of text.
func (s *Store) names(ctx context.Context, query string, args ...any) ([]string, error) {
	var names []string
	var name sql.RawBytes
	err := s.list(ctx, query, args, []any{&name}, func() bool {
		names = append(names, string(name))
		return true
	})
	return names, err
}
