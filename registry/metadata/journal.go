package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
)

// EntryKind is what an [Entry] is about.
type EntryKind string

// What a journal tells of: all that cannot be seen from the objects of blobs.
const (
	EntryRepository EntryKind = "repository"
	EntryBlob       EntryKind = "blob" // that a repository holds it
	EntryManifest   EntryKind = "manifest"
	EntryTag        EntryKind = "tag"
	EntryHold       EntryKind = "hold"
	EntryRender     EntryKind = "render"
)

// Entry says how one thing of a repository is, or that it is gone. Kind,
// Repository and Reference name the thing.
type Entry struct {
	Kind       EntryKind `json:"kind"`
	Repository string    `json:"repository"`
	// Reference is the digest of a blob or a manifest, the name of a tag, what a
	// hold is about, the derivation of a render, and empty for a repository.
	Reference string `json:"reference,omitempty"`
	Gone      bool   `json:"gone,omitempty"`
	// At is when it was made or, of a tag, moved: microseconds since 1970.
	At         int64         `json:"at,omitempty"`
	Digest     digest.Digest `json:"digest,omitempty"` // a tag's manifest, a render's artifact
	Blob       digest.Digest `json:"blob,omitempty"`   // a render's
	MediaType  string        `json:"mediaType,omitempty"`
	Raw        []byte        `json:"raw,omitempty"` // a manifest's bytes
	Reason     string        `json:"reason,omitempty"`
	Actor      string        `json:"actor,omitempty"`
	Parameters string        `json:"parameters,omitempty"`
}

// entryOverhead is about how many bytes an entry takes beside a manifest's.
const entryOverhead = 256

// entrySource says where the entries of a kind are. Every query gives the same
// columns; one, added to it, leaves the one of a row of repositories and a
// reference, order the order of a complete journal.
type entrySource struct {
	kind             EntryKind
	query, one, sort string
}

// entrySources returns the kinds in the order in which they can be rebuilt.
func entrySources() []entrySource {
	return []entrySource{
		{EntryRepository, `SELECT r.name, '', r.created, '', '', '', NULL, '', '', '' FROM repositories r`,
			` WHERE r.id = $1 AND $2 = ''`, ` ORDER BY r.id`},
		{EntryBlob, `SELECT r.name, x.digest, x.created, '', '', '', NULL, '', '', ''
			FROM repository_blobs x JOIN repositories r ON r.id = x.repository_id`,
			` WHERE r.id = $1 AND x.digest = $2`, ``},
		{EntryManifest, `SELECT r.name, x.digest, x.created, '', '', x.media_type, x.raw, '', '', ''
			FROM manifests x JOIN repositories r ON r.id = x.repository_id`,
			` WHERE r.id = $1 AND x.digest = $2`, ` ORDER BY x.id`},
		{EntryTag, `SELECT r.name, x.name, x.updated, m.digest, '', '', NULL, '', '', ''
			FROM tags x JOIN repositories r ON r.id = x.repository_id JOIN manifests m ON m.id = x.manifest_id`,
			` WHERE r.id = $1 AND x.name = $2`, ``},
		{EntryHold, `SELECT r.name, x.reference, x.created, '', '', '', NULL, x.reason, x.actor, ''
			FROM holds x JOIN repositories r ON r.id = x.repository_id`,
			` WHERE r.id = $1 AND x.reference = $2`, ``},
		{EntryRender, `SELECT r.name, x.derivation, x.created, m.digest, x.blob, '', NULL, '', '', x.parameters
			FROM renders x JOIN repositories r ON r.id = x.repository_id JOIN manifests m ON m.id = x.manifest_id`,
			` WHERE r.id = $1 AND x.derivation = $2`, ``},
	}
}

func (e *Entry) columns() []any {
	return []any{&e.Repository, &e.Reference, &e.At, (*string)(&e.Digest), (*string)(&e.Blob),
		&e.MediaType, &e.Raw, &e.Reason, &e.Actor, &e.Parameters}
}

// changed notes that something of a repository was changed, for the journal.
// Every transaction that changes what an [Entry] tells of does it.
func (t *tx) changed(kind EntryKind, repo int64, reference string) error {
	_, err := t.exec(`INSERT INTO changes (kind, repository_id, reference, journal) VALUES ($1, $2, $3, 0)`,
		string(kind), repo, reference)
	return err
}

// Journal is a journal in the store.
type Journal struct {
	// Number is the time at which the journal was begun, in microseconds since
	// 1970, or more where the clock stood still. So those that a database writes
	// which was restored from a backup come after those it knows nothing of.
	Number   int64
	Complete bool // it holds everything: those before it are of no use any more
	// Previous is the one before it that is not complete, and Base the last
	// complete one, both as of when it was begun; 0 is none. From the newest one
	// they lead to those that count, and past those of another history.
	Previous, Base int64
	Key            string // of its object
	Size           int64  // of its object in bytes
}

// Unjournaled returns how many changes are in no journal yet, counting no
// further than limit.
func (s *Store) Unjournaled(ctx context.Context, limit int) (n int, err error) {
	err = s.get(ctx, `SELECT COUNT(*) FROM (SELECT 1 FROM changes LIMIT $1) AS c`, []any{limit}, []any{&n})
	if err != nil {
		return 0, fmt.Errorf("count changes: %w", err)
	}
	return n, nil
}

// changeRow is a row of changes.
type changeRow struct {
	id        int64
	kind      EntryKind
	repo      int64
	reference string
}

// TakeChanges begins a journal: it returns its numbers and the state of up to
// limit things that were changed, of about size bytes at most. They come again
// until the journal was saved, so a crash loses none. Of two journals the one with
// the higher number never holds an older state of anything. There are no entries
// where nothing was changed.
func (s *Store) TakeChanges(ctx context.Context, limit int, size int64) (j Journal, entries []Entry, err error) {
	err = s.update(ctx, "take changes", func(t *tx) error {
		entries = nil
		// The counter's row keeps others out, so states are read in the order of
		// numbers.
		if j, err = t.nextJournal(); err != nil {
			return err
		}
		taken, err := t.markChanges(j.Number, limit)
		if err != nil {
			return err
		}
		if len(taken) == 0 {
			return errUndo
		}
		if _, err := t.exec(`UPDATE counters SET value = $1 WHERE name = 'journal begun'`, j.Number); err != nil {
			return err
		}
		entries, err = t.entries(j.Number, taken, size)
		return err
	})
	if errors.Is(err, errUndo) {
		return Journal{}, nil, nil
	}
	return j, entries, err
}

// nextJournal gives a number to a journal.
func (t *tx) nextJournal() (j Journal, err error) {
	err = t.get(`UPDATE counters SET value = CASE WHEN value < $1 THEN CAST($1 AS BIGINT) ELSE value + 1 END
		WHERE name = 'journal' RETURNING value`, []any{t.now}, []any{&j.Number})
	if err != nil {
		return j, err
	}
	return j, t.get(`SELECT (SELECT value FROM counters WHERE name = 'journal saved'),
		COALESCE((SELECT MAX(number) FROM journals WHERE complete = 1), 0)`, nil, []any{&j.Previous, &j.Base})
}

// markChanges marks the oldest changes with a journal, whatever other one they
// were marked with: that one has not been saved.
func (t *tx) markChanges(number int64, limit int) (taken []changeRow, err error) {
	if _, err := t.exec(`UPDATE changes SET journal = $1 WHERE id IN (SELECT id FROM changes ORDER BY id LIMIT $2)`, number, limit); err != nil {
		return nil, err
	}
	var c changeRow
	err = t.list(`SELECT id, kind, repository_id, reference FROM changes WHERE journal = $1 AND journal > 0 ORDER BY id`,
		[]any{number}, []any{&c.id, (*string)(&c.kind), &c.repo, &c.reference}, func() bool {
			taken = append(taken, c)
			return true
		})
	return taken, err
}

// entries reads the state of what was changed, each once. What is beyond size
// is given back.
func (t *tx) entries(number int64, taken []changeRow, size int64) (entries []Entry, err error) {
	seen := make(map[changeRow]bool, len(taken))
	for _, c := range taken {
		thing := c
		thing.id = 0
		if seen[thing] {
			continue
		}
		if size <= 0 {
			_, err := t.exec(`UPDATE changes SET journal = 0 WHERE journal = $1 AND journal > 0 AND id >= $2`, number, c.id)
			return entries, err
		}
		seen[thing] = true
		e, err := t.entry(c)
		if err != nil {
			return nil, fmt.Errorf("read %s %s: %w", c.kind, c.reference, err)
		}
		entries = append(entries, e)
		size -= int64(len(e.Raw)) + entryOverhead
	}
	return entries, nil
}

// entry reads the state of a thing.
func (t *tx) entry(c changeRow) (Entry, error) {
	for _, source := range entrySources() {
		if source.kind != c.kind {
			continue
		}
		e := Entry{Kind: c.kind}
		err := t.get(source.query+source.one, []any{c.repo, c.reference}, e.columns())
		if !errors.Is(err, sql.ErrNoRows) {
			return e, err
		}
		e = Entry{Kind: c.kind, Reference: c.reference, Gone: true}
		return e, t.get(`SELECT name FROM repositories WHERE id = $1`, []any{c.repo}, []any{&e.Repository})
	}
	return Entry{}, fmt.Errorf("unknown kind %q", c.kind)
}

// Everything begins a complete journal: it calls begin with its numbers, which it
// returns too, and then each for the state of all that there is at one moment.
// What is changed from then on is in journals with higher numbers. each must not
// wait for storage: old versions of rows cannot be removed meanwhile.
func (s *Store) Everything(ctx context.Context, begin func(Journal) error, each func(Entry) error) (j Journal, err error) {
	var view *sql.Tx
	undo := func() {
		if view != nil {
			_ = view.Rollback() // it only reads
			view = nil
		}
	}
	defer undo()
	// While the counter's row is held no other journal can begin, so this number
	// and the view are of one moment.
	err = s.update(ctx, "begin complete journal", func(t *tx) error {
		undo()
		if j, err = t.nextJournal(); err != nil {
			return err
		}
		j.Complete = true
		if _, err := t.exec(`UPDATE changes SET journal = $1`, j.Number); err != nil { // they are in the view
			return err
		}
		if view, err = s.reader.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}); err != nil {
			return err
		}
		var n int64 // the first query takes the view
		return view.QueryRowContext(ctx, `SELECT COUNT(*) FROM counters`).Scan(&n)
	})
	if err == nil {
		err = begin(j)
	}
	if err != nil {
		return Journal{}, err
	}
	for _, source := range entrySources() {
		if err := eachEntry(ctx, view, source, each); err != nil {
			return Journal{}, fmt.Errorf("list every %s: %w", source.kind, err)
		}
	}
	return j, nil
}

func eachEntry(ctx context.Context, view *sql.Tx, source entrySource, each func(Entry) error) error {
	rows, err := view.QueryContext(ctx, source.query+source.sort)
	if err != nil {
		return err
	}
	e := Entry{Kind: source.kind}
	var failed error
	err = scanAll(rows, e.columns(), func() bool {
		failed = each(e)
		e.Raw = nil
		return failed == nil
	})
	return errors.Join(failed, err)
}

// SaveJournal records a journal whose object is sealed: what it holds is in a
// journal. A complete one ends those before it, whose objects go to the trash and
// stay there as long as those of blobs do. The error wraps blobstore.ErrNotFound
// where the object was given up, and [ErrConflict] where another one was begun
// since that holds the same changes.
func (s *Store) SaveJournal(ctx context.Context, j Journal) error {
	return s.update(ctx, fmt.Sprintf("save journal %d", j.Number), func(t *tx) error {
		if err := t.claimObject(j.Key); err != nil {
			return err
		}
		if !j.Complete {
			if err := t.savedJournal(j.Number); err != nil {
				return err
			}
		}
		if err := t.insertJournal(j); err != nil {
			return err
		}
		if _, err := t.exec(`DELETE FROM changes WHERE journal = $1 AND journal > 0`, j.Number); err != nil {
			return err
		}
		if !j.Complete {
			return nil
		}
		return t.endJournals(j.Number)
	})
}

// savedJournal makes a journal the one that the next one follows. Who was
// overtaken is refused, for the next one follows another one.
func (t *tx) savedJournal(number int64) error {
	var begun int64
	err := t.get(`SELECT value FROM counters WHERE name = 'journal begun'`+t.dialect.lock, nil, []any{&begun})
	if err != nil {
		return err
	}
	if begun != number {
		return ErrConflict
	}
	_, err = t.exec(`UPDATE counters SET value = $1 WHERE name = 'journal saved'`, number)
	return err
}

func (t *tx) insertJournal(j Journal) error {
	complete := 0
	if j.Complete {
		complete = 1
	}
	_, err := t.exec(`INSERT INTO journals (number, object_key, size, complete) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		j.Number, j.Key, j.Size, complete)
	return err
}

// endJournals puts the journals before a number in the trash.
func (t *tx) endJournals(number int64) error {
	var keys []string
	var key string
	err := t.list(`SELECT object_key FROM journals WHERE number < $1`, []any{number}, []any{&key}, func() bool {
		keys = append(keys, key)
		return true
	})
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := t.discard(blobstore.Record{Key: key}, t.after(t.options.Trash)); err != nil {
			return err
		}
	}
	_, err = t.exec(`DELETE FROM journals WHERE number < $1`, number)
	return err
}

// Journals returns the journals that count, in their order: the last complete
// one and those after it, without what they follow.
func (s *Store) Journals(ctx context.Context) ([]Journal, error) {
	var journals []Journal
	var j Journal
	var complete int
	err := s.list(ctx, `SELECT number, object_key, size, complete FROM journals
		WHERE number >= COALESCE((SELECT MAX(number) FROM journals WHERE complete = 1), 0) ORDER BY number`, nil,
		[]any{&j.Number, &j.Key, &j.Size, &complete}, func() bool {
			j.Complete = complete == 1
			journals = append(journals, j)
			return true
		})
	if err != nil {
		return nil, fmt.Errorf("list journals: %w", err)
	}
	return journals, nil
}

// ForgetJournals gives up all journals, for one of them is lost: a complete one
// is then the next.
func (s *Store) ForgetJournals(ctx context.Context) error {
	return s.update(ctx, "forget journals", func(t *tx) error {
		next, err := t.nextJournal()
		if err != nil {
			return err
		}
		return t.endJournals(next.Number)
	})
}
