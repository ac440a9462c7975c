package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
)

// Rebuilder is the actor that the history of a rebuilt tag names.
const Rebuilder = "rebuild"

// rebuilding is the property of a database that is being rebuilt.
const rebuilding = "rebuilding"

// Bound returns the id of the store that the database belongs to, or "" where
// it belongs to none yet: see [Store.Bind].
func (s *Store) Bound(ctx context.Context) (id string, err error) {
	err = s.get(ctx, `SELECT value FROM properties WHERE name = 'store'`, nil, []any{&id})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("ask for the store: %w", err)
	}
	return id, nil
}

// BeginRebuild makes sure that the database holds nothing, or only what a
// rebuild has left that came to nothing. The error wraps [ErrNotEmpty] otherwise.
func (s *Store) BeginRebuild(ctx context.Context) error {
	return s.update(ctx, "begin rebuild", func(t *tx) error {
		used, err := t.exists(`SELECT 1 WHERE EXISTS (SELECT 1 FROM properties WHERE name = 'store')
			OR (EXISTS (SELECT 1 FROM repositories) AND NOT EXISTS (SELECT 1 FROM properties WHERE name = $1))`, rebuilding)
		if err != nil {
			return err
		}
		if used {
			return ErrNotEmpty
		}
		_, err = t.exec(`INSERT INTO properties (name, value) VALUES ($1, '1') ON CONFLICT (name) DO NOTHING`, rebuilding)
		return err
	})
}

// RebuildBlobs inserts the records of blobs that were found in the store, those
// that others need before them. They count as never verified. Doing it again
// changes nothing.
func (s *Store) RebuildBlobs(ctx context.Context, records []blobstore.Record) error {
	return s.update(ctx, "rebuild blobs", func(t *tx) error {
		for _, r := range records {
			if _, err := t.record(r); err != nil {
				return fmt.Errorf("blob %s: %w", r.Digest, err)
			}
			if _, err := t.exec(`UPDATE blobs SET verified_at = 0 WHERE digest = $1`, string(r.Digest)); err != nil {
				return err
			}
		}
		return nil
	})
}

// RebuiltManifest is a manifest of a journal with what it refers to.
type RebuiltManifest struct {
	Entry      Entry
	Manifest   Manifest
	References []Reference
}

// RebuildManifests stores manifests of a journal, with the time they were first
// pushed.
func (s *Store) RebuildManifests(ctx context.Context, manifests []RebuiltManifest) error {
	return s.update(ctx, "rebuild manifests", func(t *tx) error {
		for _, m := range manifests {
			if err := t.rebuildManifest(m); err != nil {
				return fmt.Errorf("%s in %s: %w", m.Manifest.Digest, m.Entry.Repository, err)
			}
		}
		return nil
	})
}

func (t *tx) rebuildManifest(m RebuiltManifest) error {
	repo, err := t.ensureRepository(m.Entry.Repository)
	if err != nil {
		return err
	}
	id, err := t.ensureManifest(repo, ManifestPut{Manifest: m.Manifest, References: m.References})
	if err != nil {
		return err
	}
	_, err = t.exec(`UPDATE manifests SET created = $1 WHERE id = $2`, m.Entry.At, id)
	return err
}

// RebuildEntries stores entries of a journal, other than manifests, after what
// they refer to. What is no longer held is reviewed in time, as if it had been
// let go of now.
func (s *Store) RebuildEntries(ctx context.Context, entries []Entry) error {
	return s.update(ctx, "rebuild", func(t *tx) error {
		for _, e := range entries {
			if err := t.rebuild(e); err != nil {
				return fmt.Errorf("%s %s of %s: %w", e.Kind, e.Reference, e.Repository, err)
			}
		}
		return nil
	})
}

func (t *tx) rebuild(e Entry) error {
	repo, err := t.ensureRepository(e.Repository)
	if err != nil {
		return err
	}
	switch e.Kind {
	case EntryRepository:
		_, err = t.exec(`UPDATE repositories SET created = $1 WHERE id = $2`, e.At, repo)
	case EntryBlob:
		if err = t.link(repo, digest.Digest(e.Reference)); err != nil {
			return err
		}
		_, err = t.exec(`UPDATE repository_blobs SET created = $1 WHERE repository_id = $2 AND digest = $3`, e.At, repo, e.Reference)
	case EntryTag:
		err = t.rebuildTag(repo, e)
	case EntryHold:
		err = t.insertHold(repo, Hold{Reference: e.Reference, Reason: e.Reason, Actor: e.Actor}, e.At)
	case EntryRender:
		err = t.rebuildRender(repo, e)
	default:
		err = fmt.Errorf("unknown kind %q", e.Kind)
	}
	return err
}

func (t *tx) rebuildTag(repo int64, e Entry) error {
	id, err := t.manifestID(repo, e.Digest)
	if err != nil {
		return err
	}
	if err := t.setTag(repo, e.Reference, id, e.Digest, Rebuilder); err != nil {
		return err
	}
	_, err = t.exec(`UPDATE tags SET updated = $1 WHERE repository_id = $2 AND name = $3`, e.At, repo, e.Reference)
	return err
}

func (t *tx) rebuildRender(repo int64, e Entry) error {
	id, err := t.manifestID(repo, e.Digest)
	if err != nil {
		return err
	}
	return t.insertRender(repo, id, Render{
		Derivation: digest.Digest(e.Reference), Artifact: e.Digest, Blob: e.Blob, Parameters: e.Parameters,
	}, e.At)
}

// manifestID returns the row of a manifest.
func (t *tx) manifestID(repo int64, d digest.Digest) (id int64, err error) {
	err = t.get(`SELECT id FROM manifests WHERE repository_id = $1 AND digest = $2`, []any{repo, string(d)}, []any{&id})
	return id, orElse(err, ErrManifestUnknown)
}

// EndRebuild makes a rebuilt database one that can be used: it takes over the
// journals it was rebuilt from, goes on after the last number that any journal
// has, and belongs to the store of the given id.
func (s *Store) EndRebuild(ctx context.Context, id string, last int64, journals []Journal) error {
	err := s.update(ctx, "end rebuild", func(t *tx) error {
		for _, j := range journals {
			if err := t.insertJournal(j); err != nil {
				return err
			}
		}
		if _, err := t.exec(`UPDATE counters SET value = $1 WHERE name = 'journal' AND value < $1`, last); err != nil {
			return err
		}
		_, err := t.exec(`DELETE FROM properties WHERE name = $1`, rebuilding)
		return err
	})
	if err != nil {
		return err
	}
	return s.Bind(ctx, id)
}
