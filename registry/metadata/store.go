package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Defaults of [Options].
const (
	DefaultLease  = 24 * time.Hour
	DefaultUpload = 24 * time.Hour
	DefaultTrash  = 24 * time.Hour
)

// Options are what a store may be opened with.
type Options struct {
	// Clock tells the time; nil is the database's: the clock of its server, or
	// time.Now where it has none.
	Clock func() time.Time
	// Lease is how long a client may rely on being told that it need not upload
	// a blob, and how long after it was let go of anything is reviewed; zero is
	// DefaultLease.
	Lease time.Duration
	// Upload is how long an upload is kept after it was last written to; zero
	// is DefaultUpload.
	Upload time.Duration
	// Trash is how long the object of a blob that was collected stays, and the
	// blob can be restored; zero is DefaultTrash. It has to be longer than any
	// download takes.
	Trash time.Duration
	// Exclusive refuses to share the database with other processes, where it
	// could be shared.
	Exclusive bool
	// Source is what events say of the process that makes a change.
	Source Source
}

// Store is the metadata of one registry. It is used by any number of
// goroutines.
type Store struct {
	dialect dialect
	options Options
	writer  *pool
	reader  *pool
	closers []io.Closer
	written chan struct{} // holds a value if events were written

	memories  memories
	manifests *memory[Manifest] // nil where others write to the database, too
	held      *memory[heldBlob]
}

func newStore(d dialect, o Options) *Store {
	if o.Clock == nil && !d.server {
		o.Clock = time.Now
	}
	if o.Lease == 0 {
		o.Lease = DefaultLease
	}
	if o.Upload == 0 {
		o.Upload = DefaultUpload
	}
	if o.Trash == 0 {
		o.Trash = DefaultTrash
	}
	s := &Store{dialect: d, options: o, written: make(chan struct{}, 1)}
	if !d.server {
		s.manifests = newMemory(&s.memories.manifestWrites, manifestMemory, Manifest.cost)
		s.held = newMemory(&s.memories.blobWrites, blobMemory, heldBlob.cost)
	}
	return s
}

// Close closes the database. No method may be running.
func (s *Store) Close() error {
	var errs []error
	for _, c := range slices.Backward(s.closers) {
		errs = append(errs, c.Close())
	}
	s.closers = nil
	return errors.Join(errs...)
}

// Ping says whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.reader.db.PingContext(ctx) }

// Shared says whether other processes may use the database, too.
func (s *Store) Shared() bool { return s.dialect.server }

// now returns the time in microseconds since 1970.
func (s *Store) now(ctx context.Context) (now int64, err error) {
	if s.options.Clock != nil {
		return s.options.Clock().UnixMicro(), nil
	}
	err = s.get(ctx, s.dialect.clock, nil, []any{&now})
	return now, err
}

// pool is a database with its prepared statements.
type pool struct {
	db    *sql.DB
	stmts sync.Map // query → *sql.Stmt
}

// stmt returns the prepared statement of a query that is a constant.
func (p *pool) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if st, ok := p.stmts.Load(query); ok {
		return st.(*sql.Stmt), nil
	}
	st, err := p.db.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if first, loaded := p.stmts.LoadOrStore(query, st); loaded {
		return first.(*sql.Stmt), st.Close()
	}
	return st, nil
}

// get runs a query for one row outside of a transaction. It returns
// sql.ErrNoRows where there is none.
//
// Without a server the query is not cancelled: one that reads a row by its key
// is over sooner than the machinery to interrupt it is set up.
func (s *Store) get(ctx context.Context, query string, args, dest []any) error {
	if !s.dialect.server {
		ctx = context.WithoutCancel(ctx)
	}
	st, err := s.reader.stmt(ctx, query)
	if err == nil {
		err = st.QueryRowContext(ctx, args...).Scan(dest...)
	}
	if err == nil || errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return s.dialect.translate(err)
}

// list runs a query for rows outside of a transaction, calling each after every
// row was scanned into dest, until each returns false.
func (s *Store) list(ctx context.Context, query string, args, dest []any, each func() bool) error {
	st, err := s.reader.stmt(ctx, query)
	if err != nil {
		return s.dialect.translate(err)
	}
	rows, err := st.QueryContext(ctx, args...)
	if err != nil {
		return s.dialect.translate(err)
	}
	if err := scanAll(rows, dest, each); err != nil {
		return s.dialect.translate(err)
	}
	return nil
}

func scanAll(rows *sql.Rows, dest []any, each func() bool) (err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		if !each() {
			return nil
		}
	}
	return rows.Err()
}

// tx is a transaction that writes.
type tx struct {
	ctx      context.Context
	sql      *sql.Tx
	pool     *pool
	dialect  *dialect
	options  *Options
	memories *memories
	now      int64    // microseconds since 1970, the same for the whole transaction
	concern  concern  // of what it has written
	once     []string // queries that were not prepared yet
	changes  []untold // events of the transaction
}

const (
	// maxAttempts is how often a transaction is tried that collides with others.
	maxAttempts = 20
	// firstPause and maxPause bound the wait between two attempts, which
	// doubles from one to the next.
	firstPause = 2 * time.Millisecond
	maxPause   = 200 * time.Millisecond
)

// errAgain says that another transaction changed what this one has read, and
// that it has to begin again.
var errAgain = errors.New("another transaction came between")

// update runs f in a transaction: all of it, or nothing where f returns an
// error. An error is told with what was being done.
//
// Where transactions run side by side f may be run several times, so it must
// not change what it has not set itself.
func (s *Store) update(ctx context.Context, what string, f func(*tx) error) error {
	for attempt := 0; ; attempt++ {
		err := s.attempt(ctx, f)
		if err == nil {
			return nil
		}
		collided := errors.Is(err, errAgain) || s.dialect.collided(err)
		if !collided || attempt+1 == maxAttempts || pause(ctx, attempt) != nil {
			return fmt.Errorf("%s: %w", what, s.dialect.translate(err))
		}
	}
}

// pause waits before the next attempt, each time another while so that those
// who collided do not do so again.
func pause(ctx context.Context, attempt int) error {
	longest := min(firstPause<<attempt, maxPause)
	timer := time.NewTimer(longest/2 + rand.N(longest/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (s *Store) attempt(ctx context.Context, f func(*tx) error) error {
	begun, err := s.writer.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	t := &tx{ctx: ctx, sql: begun, pool: s.writer, dialect: &s.dialect, options: &s.options, memories: &s.memories}
	err = t.setNow()
	if err == nil {
		err = f(t)
	}
	if err == nil {
		err = t.writeEvents()
	}
	if err != nil {
		if undo := begun.Rollback(); undo != nil && !errors.Is(undo, sql.ErrTxDone) {
			err = errors.Join(err, undo)
		}
		return err
	}
	if err := s.memories.commit(t.concern, begun.Commit); err != nil {
		return fmt.Errorf("commit: %w", s.dialect.commitFailed(err))
	}
	t.remember()
	if len(t.changes) > 0 {
		s.tellWritten()
	}
	return nil
}

func (t *tx) setNow() error {
	if t.options.Clock == nil {
		return t.get(t.dialect.clock, nil, []any{&t.now})
	}
	t.now = t.options.Clock().UnixMicro()
	return nil
}

// after returns the time that is a while after the transaction's.
func (t *tx) after(d time.Duration) int64 { return t.now + d.Microseconds() }

// remember prepares what the transaction had to prepare for itself, for the
// next ones: there may be one connection only, so it has to wait until the end.
func (t *tx) remember() {
	for _, query := range t.once {
		if _, err := t.pool.stmt(context.WithoutCancel(t.ctx), query); err != nil {
			return // the next transaction prepares it again
		}
	}
}

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(query string, args ...any) (int64, error) {
	st, err := t.stmt(query)
	if err != nil {
		return 0, err
	}
	r, err := st.ExecContext(t.ctx, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// get reads one row. It returns sql.ErrNoRows where there is none.
func (t *tx) get(query string, args, dest []any) error {
	st, err := t.stmt(query)
	if err != nil {
		return err
	}
	return st.QueryRowContext(t.ctx, args...).Scan(dest...)
}

// list reads rows, calling each after every row was scanned into dest. each
// must not use the transaction.
func (t *tx) list(query string, args, dest []any, each func() bool) error {
	st, err := t.stmt(query)
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(t.ctx, args...)
	if err != nil {
		return err
	}
	return scanAll(rows, dest, each)
}

// exists says whether a query gives a row.
func (t *tx) exists(query string, args ...any) (bool, error) {
	var one int
	err := t.get(query, args, []any{&one})
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// stmt returns the prepared statement of a query that is a constant.
func (t *tx) stmt(query string) (*sql.Stmt, error) {
	t.concern |= t.memories.concern(query)
	if st, ok := t.pool.stmts.Load(query); ok {
		return t.sql.StmtContext(t.ctx, st.(*sql.Stmt)), nil
	}
	t.once = append(t.once, query)
	return t.sql.PrepareContext(t.ctx, query)
}

// orElse replaces the error of a query that found no row.
func orElse(err, missing error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return missing
	}
	return err
}

func timeOf(micro int64) time.Time { return time.UnixMicro(micro).UTC() }
