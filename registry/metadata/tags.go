package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/opencontainers/go-digest"
)

// TagEvent is one change of a tag.
type TagEvent struct {
	ID       int64 // the store's to say; a later event of a tag has a greater one
	Tag      string
	Digest   digest.Digest // what the tag points to since; empty if it was deleted
	Previous digest.Digest // what it pointed to before; empty if it was new
	Actor    string
	At       time.Time
}

// tagged returns the manifest of a tag, or sql.ErrNoRows, and keeps the tag from
// changing until the transaction ends.
func (t *tx) tagged(repo int64, tag string) (d digest.Digest, err error) {
	var manifest int64
	err = t.get(`SELECT manifest_id FROM tags WHERE repository_id = $1 AND name = $2`+t.dialect.lock, []any{repo, tag}, []any{&manifest})
	if err != nil {
		return "", err
	}
	err = t.get(`SELECT digest FROM manifests WHERE id = $1`, []any{manifest}, []any{(*string)(&d)})
	return d, err
}

// setTag points a tag to a manifest.
func (t *tx) setTag(repo int64, tag string, manifest int64, d digest.Digest, actor string) error {
	previous, err := t.tagged(repo, tag)
	if errors.Is(err, sql.ErrNoRows) {
		return t.addTag(repo, tag, manifest, d, actor)
	}
	if err != nil || previous == d {
		return err
	}
	if err := t.checkHold(repo, tag); err != nil {
		return err
	}
	if _, err := t.exec(`UPDATE tags SET manifest_id = $1, updated = $2 WHERE repository_id = $3 AND name = $4`,
		manifest, t.now, repo, tag); err != nil {
		return err
	}
	if err := t.release(repo, previous); err != nil {
		return err
	}
	return t.tagEvent(repo, TagEvent{Tag: tag, Digest: d, Previous: previous, Actor: actor})
}

func (t *tx) addTag(repo int64, tag string, manifest int64, d digest.Digest, actor string) error {
	n, err := t.exec(`INSERT INTO tags (repository_id, name, manifest_id, updated) VALUES ($1, $2, $3, $4)
		ON CONFLICT (repository_id, name) DO NOTHING`, repo, tag, manifest, t.now)
	if err != nil {
		return err
	}
	if n == 0 {
		return errAgain // somebody else was the first to set it
	}
	return t.tagEvent(repo, TagEvent{Tag: tag, Digest: d, Actor: actor})
}

// tagEvent notes that a tag was changed, in its history and for the journal.
func (t *tx) tagEvent(repo int64, e TagEvent) error {
	_, err := t.exec(`INSERT INTO tag_events (repository_id, tag, digest, previous, actor, at) VALUES ($1, $2, $3, $4, $5, $6)`,
		repo, e.Tag, string(e.Digest), string(e.Previous), e.Actor, t.now)
	if err != nil {
		return err
	}
	return t.changed(EntryTag, repo, e.Tag)
}

// deleteTag removes a tag, which must be locked.
func (t *tx) deleteTag(repo int64, tag string, previous digest.Digest, actor string) error {
	if err := t.checkHold(repo, tag); err != nil {
		return err
	}
	if _, err := t.exec(`DELETE FROM tags WHERE repository_id = $1 AND name = $2`, repo, tag); err != nil {
		return err
	}
	t.tell(repo, Event{Action: EventDelete, Tag: tag, Manifest: true, Origin: actedBy(actor)})
	return t.tagEvent(repo, TagEvent{Tag: tag, Previous: previous, Actor: actor})
}

// DeleteTag removes a tag and leaves its manifest. The error wraps
// [ErrManifestUnknown] where there is no such tag and [ErrHeld] where it is on
// hold.
func (s *Store) DeleteTag(ctx context.Context, repository, tag, actor string) error {
	return s.update(ctx, fmt.Sprintf("delete tag %s from %s", tag, repository), func(t *tx) error {
		repo, err := t.holder(repository)
		if err != nil {
			return err
		}
		return orElse(t.removeTag(repo, tag, actor), ErrManifestUnknown)
	})
}

// removeTag removes a tag and lets go of its manifest.
func (t *tx) removeTag(repo int64, tag, actor string) error {
	d, err := t.tagged(repo, tag)
	if err != nil {
		return err
	}
	if err := t.deleteTag(repo, tag, d, actor); err != nil {
		return err
	}
	return t.release(repo, d)
}

// TagAge is a tag and when it was last moved.
type TagAge struct {
	Name    string
	Updated time.Time
}

// TagsByAge returns the tags of a repository, the one moved last first.
func (s *Store) TagsByAge(ctx context.Context, repository string) ([]TagAge, error) {
	var tags []TagAge
	var tag TagAge
	var updated int64
	err := s.list(ctx, `SELECT t.name, t.updated FROM repositories r JOIN tags t ON t.repository_id = r.id
		WHERE r.name = $1 ORDER BY t.updated DESC, t.name`, []any{repository}, []any{&tag.Name, &updated}, func() bool {
		tag.Updated = timeOf(updated)
		tags = append(tags, tag)
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("list tags of %s by age: %w", repository, err)
	}
	return tags, nil
}

// RetireTag is [Store.DeleteTag] for a tag that must not have been moved since.
// It says whether it was removed.
func (s *Store) RetireTag(ctx context.Context, repository string, tag TagAge, actor string) (retired bool, err error) {
	err = s.update(ctx, fmt.Sprintf("retire tag %s of %s", tag.Name, repository), func(t *tx) error {
		retired = false
		repo, err := t.holder(repository)
		if err != nil {
			return err
		}
		var updated int64
		err = t.get(`SELECT updated FROM tags WHERE repository_id = $1 AND name = $2`+t.dialect.lock, []any{repo, tag.Name}, []any{&updated})
		if errors.Is(err, sql.ErrNoRows) || (err == nil && updated != tag.Updated.UnixMicro()) {
			return nil
		}
		if err != nil {
			return err
		}
		retired = true
		return t.removeTag(repo, tag.Name, actor)
	})
	return retired && err == nil, err
}

// Tags returns up to limit tags of a repository, sorted bytewise, from after on.
// The error wraps [ErrRepositoryUnknown] where there is no such repository.
func (s *Store) Tags(ctx context.Context, repository, after string, limit int) ([]string, error) {
	id, err := s.repositoryID(ctx, repository)
	if err != nil {
		return nil, fmt.Errorf("list tags of %s: %w", repository, err)
	}
	tags, err := s.names(ctx, `SELECT name FROM tags WHERE repository_id = $1 AND name > $2 ORDER BY name LIMIT $3`, id, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list tags of %s: %w", repository, err)
	}
	return tags, nil
}

// TagHistory returns the last limit changes of a tag before the event of an ID,
// the newest first; with zero, the last of all. The history outlives the tag.
func (s *Store) TagHistory(ctx context.Context, repository, tag string, before int64, limit int) ([]TagEvent, error) {
	const query = `SELECT e.id, e.digest, e.previous, e.actor, e.at
		FROM repositories r JOIN tag_events e ON e.repository_id = r.id
		WHERE r.name = $1 AND e.tag = $2 AND e.id < $3
		ORDER BY e.id DESC LIMIT $4`
	if before == 0 {
		before = math.MaxInt64
	}
	var events []TagEvent
	e := TagEvent{Tag: tag}
	var at int64
	err := s.list(ctx, query, []any{repository, tag, before, limit}, []any{&e.ID, &e.Digest, &e.Previous, &e.Actor, &at}, func() bool {
		e.At = timeOf(at)
		events = append(events, e)
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("history of tag %s in %s: %w", tag, repository, err)
	}
	return events, nil
}
