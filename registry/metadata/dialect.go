package metadata

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// dialect is all that differs between the databases. Everything else is SQL
// that they share: $1 for parameters, ON CONFLICT, RETURNING, foreign keys.
type dialect struct {
	goose goose.Dialect
	// types replaces the type names in braces of the migrations.
	types *strings.Replacer
	// translate adds to an error what callers look for: syscall.ENOSPC where
	// the disk is full.
	translate func(error) error
}

// sqlitePrimary masks the primary code off an extended one
// (https://www.sqlite.org/rescode.html).
const sqlitePrimary = 0xff

// sqliteDialect is SQLite's. Its text sorts bytewise, and its writers hold the
// one write lock from the beginning (BEGIN IMMEDIATE), so no row needs one.
func sqliteDialect() dialect {
	return dialect{
		goose: goose.DialectSQLite3,
		types: strings.NewReplacer(
			"{id}", "INTEGER PRIMARY KEY AUTOINCREMENT",
			"{name}", "TEXT",
			"{bytes}", "BLOB",
		),
		translate: func(err error) error {
			var e *sqlite.Error
			if errors.As(err, &e) && e.Code()&sqlitePrimary == sqlite3.SQLITE_FULL {
				return fmt.Errorf("%w: %w", err, syscall.ENOSPC)
			}
			return err
		},
	}
}
