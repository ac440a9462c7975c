package metadata

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	// pgConnections is how many connections a process has at most; a server has
	// room for a hundred unless told otherwise.
	pgConnections = 20
	// pgIdle is how long an unused connection is kept.
	pgIdle = 5 * time.Minute

	// pgUseLock is the advisory lock that every process holds while it uses the
	// database: shared, unless it wants it for itself. pgMigrateLock is held
	// while the schema is brought up to date; pgOutboxLock from when a transaction
	// writes its events until it is committed. All are "cloudle" and a number.
	pgUseLock     = 0x636c6f75646c6501
	pgMigrateLock = 0x636c6f75646c6502
	pgOutboxLock  = 0x636c6f75646c6503
)

// OpenPostgres opens a PostgreSQL database (version 15 or later, encoding UTF8)
// by its connection string: a URL postgres://… or keywords and values
// (https://www.postgresql.org/docs/15/libpq-connect.html#LIBPQ-CONNSTRING).
//
// Any number of processes use one database at once. With Options.Exclusive the
// error wraps [ErrLocked] where there is another one, and others are refused in
// the same way as long as this one has it open.
func OpenPostgres(ctx context.Context, dsn string, o Options) (_ *Store, err error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("open metadata: %w", err) // without the password
	}
	var options []stdlib.OptionOpenDB
	if !o.Exclusive {
		options = append(options, stdlib.OptionAfterConnect(share))
	}
	db := stdlib.OpenDB(*config, options...)
	db.SetMaxOpenConns(pgConnections)
	db.SetMaxIdleConns(pgConnections)
	db.SetConnMaxIdleTime(pgIdle)
	s := newStore(postgresDialect(), o)
	s.writer = &pool{db: db}
	s.reader = s.writer
	s.closers = append(s.closers, db)
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open metadata %s on %s: %w", config.Database, config.Host, err), s.Close())
		}
	}()
	use, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, endSession{use})
	if o.Exclusive {
		if err := own(ctx, use); err != nil {
			return nil, err
		}
	}
	return s, migrateLocked(ctx, use, db, s.dialect)
}

// endSession frees the locks of a connection and closes it for good instead of
// returning it to its pool.
type endSession struct{ conn *sql.Conn }

func (e endSession) Close() error {
	// On a connection that is broken the locks are free already.
	_, _ = e.conn.ExecContext(context.Background(), `SELECT pg_advisory_unlock_all()`)
	err := e.conn.Raw(func(any) error { return driver.ErrBadConn })
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		return nil
	}
	return err
}

// share takes the lock of those who use the database, for as long as the
// connection lives. Every connection takes it, so that it is held again as soon as
// anything is done after the server has ended them all.
func share(ctx context.Context, conn *pgx.Conn) error {
	var taken bool
	err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock_shared($1)`, int64(pgUseLock)).Scan(&taken)
	if err == nil && !taken {
		err = fmt.Errorf("%w, which wants it for itself: wait until it is done", ErrLocked)
	}
	return err
}

// own takes the lock for one connection alone. Those that were just closed may
// hold it a little longer.
func own(ctx context.Context, conn *sql.Conn) error {
	for attempt := range maxAttempts {
		var taken bool
		err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, int64(pgUseLock)).Scan(&taken)
		if taken || err != nil {
			return err
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: stop all servers that use the database first", ErrLocked)
}

// migrateLocked brings the schema up to date, one process after the other.
func migrateLocked(ctx context.Context, lock *sql.Conn, db *sql.DB, d dialect) error {
	if _, err := lock.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, int64(pgMigrateLock)); err != nil {
		return err
	}
	err := migrate(ctx, db, d)
	_, unlock := lock.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, int64(pgMigrateLock))
	return errors.Join(err, unlock)
}
