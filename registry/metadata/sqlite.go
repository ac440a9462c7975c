package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

const (
	// sqliteBusy is how long a connection waits for a lock in milliseconds.
	// Only checkpoints and the migration ever make one wait.
	sqliteBusy = "10000"
	// sqliteCache is the page cache of each connection in KiB, negated as the
	// pragma wants it.
	sqliteCache = "-8192"
	// minReaders is how many connections read at once, at least.
	minReaders = 4
)

// OpenSQLite opens the SQLite database at path, which is created if missing. It
// refuses, with an error that wraps [ErrLocked], while another process has it
// open.
func OpenSQLite(ctx context.Context, path string, o Options) (_ *Store, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("open metadata: %w", err)
	}
	lock, err := acquire(path + lockSuffix)
	if err != nil {
		return nil, err
	}
	s := newStore(sqliteDialect(), o)
	s.closers = append(s.closers, lock)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.openWriter(ctx, path); err != nil {
		return nil, fmt.Errorf("open metadata %s: %w", path, err)
	}
	if err := s.openReaders(path); err != nil {
		return nil, fmt.Errorf("open metadata %s: %w", path, err)
	}
	return s, nil
}

// openWriter opens the one connection that writes, and migrates the schema.
func (s *Store) openWriter(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", sqliteDSN(path, "_txlock", "immediate"))
	if err != nil {
		return err
	}
	s.closers = append(s.closers, db)
	db.SetMaxOpenConns(1)
	db.SetConnMaxIdleTime(0)
	s.writer = &pool{db: db}
	if err := migrate(ctx, db, s.dialect); err != nil {
		return err
	}
	// Who told endpoints of events is dead: this process has the lock now.
	_, err = db.ExecContext(ctx, `UPDATE event_endpoints SET owner = '', owned_until = 0 WHERE owner <> ''`)
	return err
}

// openReaders opens the connections that only read, beside the writer (WAL).
func (s *Store) openReaders(path string) error {
	db, err := sql.Open("sqlite", sqliteDSN(path, "_query_only", "1"))
	if err != nil {
		return err
	}
	s.closers = append(s.closers, db)
	n := max(minReaders, 2*runtime.GOMAXPROCS(0))
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	db.SetConnMaxIdleTime(time.Hour)
	s.reader = &pool{db: db}
	return nil
}

// sqliteDSN names a database for the driver. synchronous FULL makes a commit
// survive a power cut in WAL mode (https://www.sqlite.org/pragma.html#pragma_synchronous).
func sqliteDSN(path, key, value string) string {
	q := url.Values{key: {value}}
	for _, pragma := range []string{
		"busy_timeout(" + sqliteBusy + ")",
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"foreign_keys(1)",
		"cache_size(" + sqliteCache + ")",
	} {
		q.Add("_pragma", pragma)
	}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String()
}
