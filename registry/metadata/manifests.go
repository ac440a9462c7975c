package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// Manifest is an OCI or Docker manifest or index as a repository holds it.
type Manifest struct {
	Digest    digest.Digest
	MediaType string
	// ArtifactType is the manifest's own or, for an image manifest without one,
	// the media type of its config.
	ArtifactType string
	Subject      digest.Digest // empty without one; it may not exist
	Size         int64         // of Raw in bytes
	Created      time.Time     // when it was first pushed to the repository
	Raw          []byte        // as pushed; left out of listings; never changed by anybody
}

// cost is what it takes to remember a manifest, in bytes.
func (m Manifest) cost() int64 {
	return int64(len(m.Raw) + len(m.Digest) + len(m.MediaType) + len(m.ArtifactType) + len(m.Subject))
}

// RefKind is what a reference of a manifest points to.
type RefKind string

// What a manifest refers to.
const (
	RefConfig RefKind = "config"
	RefLayer  RefKind = "layer"
	RefChild  RefKind = "child" // an entry of an index: a manifest, or else a blob
)

// Reference is one descriptor of a manifest.
type Reference struct {
	Digest digest.Digest
	Kind   RefKind
	// Sparse says that the repository need not hold the content: a layer that
	// may not be distributed, an entry of an index.
	Sparse bool
	// MediaType and Size, in bytes, are what the descriptor says. They are told
	// of in events, and not kept.
	MediaType string
	Size      int64
}

// ManifestPut is what [Store.PutManifest] stores.
type ManifestPut struct {
	Repository string
	Manifest   Manifest // Created is the store's to say
	References []Reference
	Tags       []string
	Actor      string // who, for the history of the tags
}

// PutManifest stores a manifest, with what it refers to and its tags, in one
// transaction. Putting one that is there sets the tags. The error is a
// [MissingError] where the repository lacks a blob that it refers to.
func (s *Store) PutManifest(ctx context.Context, p ManifestPut) error {
	return s.update(ctx, fmt.Sprintf("put manifest %s in %s", p.Manifest.Digest, p.Repository), func(t *tx) error {
		repo, err := t.ensureRepository(p.Repository)
		if err != nil {
			return err
		}
		id, err := t.ensureManifest(repo, p)
		if err != nil {
			return err
		}
		// In one order for all, so that two pushes never wait for each other.
		for _, tag := range slices.Sorted(slices.Values(p.Tags)) {
			if err := t.setTag(repo, tag, id, p.Manifest.Digest, p.Actor); err != nil {
				return fmt.Errorf("tag %s: %w", tag, err)
			}
		}
		t.tellManifest(repo, p)
		return t.consumeLeases(id)
	})
}

// consumeLeases ends the promises about the blobs that a manifest holds from now
// on. Who relies on one meanwhile has the time until those blobs are reviewed
// after the manifest has gone: as long again.
func (t *tx) consumeLeases(manifest int64) error {
	// A lease that another transaction is busy with is left to expire.
	_, err := t.exec(`DELETE FROM leases WHERE (repository_id, digest) IN
		(SELECT l.repository_id, l.digest FROM manifest_refs f
		JOIN leases l ON l.repository_id = f.repository_id AND l.digest = f.blob
		WHERE f.manifest_id = $1`+t.dialect.skip+`)`, manifest)
	return err
}

// ensureManifest returns the row of a manifest, which is created if missing.
func (t *tx) ensureManifest(repo int64, p ManifestPut) (id int64, err error) {
	m := p.Manifest
	if err := t.changed(EntryManifest, repo, string(m.Digest)); err != nil {
		return 0, err
	}
	err = t.get(`UPDATE manifests SET media_type = $3, artifact_type = $4 WHERE repository_id = $1 AND digest = $2 RETURNING id`,
		[]any{repo, string(m.Digest), m.MediaType, m.ArtifactType}, []any{&id})
	if !errors.Is(err, sql.ErrNoRows) {
		return id, err
	}
	err = t.get(`INSERT INTO manifests (repository_id, digest, media_type, artifact_type, subject, size, created, raw)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id`,
		[]any{repo, string(m.Digest), m.MediaType, m.ArtifactType, string(m.Subject), len(m.Raw), t.now, m.Raw}, []any{&id})
	if err != nil {
		return 0, err
	}
	if err := t.refer(repo, id, p.References); err != nil {
		return 0, err
	}
	// A sparse index that was waiting for this manifest holds it from now on.
	_, err = t.exec(`UPDATE manifest_refs SET child_id = $1, blob = NULL
		WHERE repository_id = $2 AND digest = $3 AND kind = $4`, id, repo, string(m.Digest), string(RefChild))
	return id, err
}

// refer stores the references of a manifest.
func (t *tx) refer(repo, manifest int64, refs []Reference) error {
	var missing []digest.Digest
	for i, r := range refs {
		blob, child, err := t.resolve(repo, r)
		if err != nil {
			return err
		}
		if !blob.Valid && !child.Valid && !r.Sparse {
			missing = append(missing, r.Digest)
			continue
		}
		_, err = t.exec(`INSERT INTO manifest_refs (manifest_id, position, repository_id, kind, digest, blob, child_id)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`, manifest, i, repo, string(r.Kind), string(r.Digest), blob, child)
		if err != nil {
			return err
		}
	}
	if missing != nil {
		return &MissingError{Digests: missing}
	}
	return nil
}

// resolve returns what a reference points to in a repository: a blob, a
// manifest, or neither.
func (t *tx) resolve(repo int64, r Reference) (blob sql.NullString, child sql.NullInt64, err error) {
	if r.Kind == RefChild {
		err = t.get(`SELECT id FROM manifests WHERE repository_id = $1 AND digest = $2`, []any{repo, string(r.Digest)}, []any{&child})
		if !errors.Is(err, sql.ErrNoRows) {
			return blob, child, err
		}
	}
	held, err := t.holds(repo, r.Digest)
	if held && err == nil && !r.Sparse {
		// A manifest that nobody could pull is not acknowledged.
		if err = t.checkReadable(r.Digest); errors.Is(err, ErrBlobUnknown) {
			held, err = false, nil
		}
	}
	return sql.NullString{String: string(r.Digest), Valid: held}, child, err
}

const manifestColumns = `m.digest, m.media_type, m.artifact_type, m.subject, m.size, m.created`

// Manifest returns a manifest by digest. The error wraps [ErrManifestUnknown]
// where the repository does not hold it.
func (s *Store) Manifest(ctx context.Context, repository string, d digest.Digest) (Manifest, error) {
	const query = `SELECT ` + manifestColumns + `, m.raw
		FROM repositories r JOIN manifests m ON m.repository_id = r.id
		WHERE r.name = $1 AND m.digest = $2`
	return s.manifest(ctx, query, repository, string(d), true)
}

// StatManifest is [Store.Manifest] without the bytes.
func (s *Store) StatManifest(ctx context.Context, repository string, d digest.Digest) (Manifest, error) {
	const query = `SELECT ` + manifestColumns + `
		FROM repositories r JOIN manifests m ON m.repository_id = r.id
		WHERE r.name = $1 AND m.digest = $2`
	return s.manifest(ctx, query, repository, string(d), false)
}

// Tagged returns the manifest of a tag. The error wraps [ErrManifestUnknown]
// where there is no such tag.
func (s *Store) Tagged(ctx context.Context, repository, tag string) (Manifest, error) {
	const query = `SELECT ` + manifestColumns + `, m.raw
		FROM repositories r JOIN tags t ON t.repository_id = r.id JOIN manifests m ON m.id = t.manifest_id
		WHERE r.name = $1 AND t.name = $2`
	return s.manifest(ctx, query, repository, tag, true)
}

// StatTagged is [Store.Tagged] without the bytes.
func (s *Store) StatTagged(ctx context.Context, repository, tag string) (Manifest, error) {
	const query = `SELECT ` + manifestColumns + `
		FROM repositories r JOIN tags t ON t.repository_id = r.id JOIN manifests m ON m.id = t.manifest_id
		WHERE r.name = $1 AND t.name = $2`
	return s.manifest(ctx, query, repository, tag, false)
}

func (s *Store) manifest(ctx context.Context, query, repository, reference string, raw bool) (Manifest, error) {
	return s.manifests.ask(question{query, repository, reference}, func() (Manifest, error) {
		return s.readManifest(ctx, query, repository, reference, raw)
	})
}

func (s *Store) readManifest(ctx context.Context, query, repository, reference string, raw bool) (Manifest, error) {
	var row manifestRow
	dest := row.columns()
	if raw {
		dest = append(dest, &row.m.Raw)
	}
	if err := s.get(ctx, query, []any{repository, reference}, dest); err != nil {
		return Manifest{}, fmt.Errorf("look up manifest %s in %s: %w", reference, repository, orElse(err, ErrManifestUnknown))
	}
	return row.manifest(), nil
}

// manifestRow scans manifestColumns.
type manifestRow struct {
	m       Manifest
	created int64
}

func (r *manifestRow) columns() []any {
	// As strings they are scanned without reflection.
	return []any{(*string)(&r.m.Digest), &r.m.MediaType, &r.m.ArtifactType, (*string)(&r.m.Subject), &r.m.Size, &r.created}
}

func (r *manifestRow) manifest() Manifest {
	r.m.Created = timeOf(r.created)
	return r.m
}

// Manifests returns up to limit manifests of a repository, by digest, from after
// on, without their bytes.
func (s *Store) Manifests(ctx context.Context, repository string, after digest.Digest, limit int) ([]Manifest, error) {
	const query = `SELECT ` + manifestColumns + `
		FROM repositories r JOIN manifests m ON m.repository_id = r.id
		WHERE r.name = $1 AND m.digest > $2
		ORDER BY m.digest LIMIT $3`
	var manifests []Manifest
	var row manifestRow
	err := s.list(ctx, query, []any{repository, string(after), limit}, row.columns(), func() bool {
		manifests = append(manifests, row.manifest())
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("list manifests of %s: %w", repository, err)
	}
	return manifests, nil
}

// RecentManifests calls each for up to limit manifests of a repository, the one
// put last first, with their bytes, until each returns false. each must not keep
// the bytes.
func (s *Store) RecentManifests(ctx context.Context, repository string, limit int, each func(Manifest) bool) error {
	const query = `SELECT ` + manifestColumns + `, m.raw
		FROM repositories r JOIN manifests m ON m.repository_id = r.id
		WHERE r.name = $1
		ORDER BY m.id DESC LIMIT $2`
	var row manifestRow
	err := s.list(ctx, query, []any{repository, limit}, append(row.columns(), &row.m.Raw), func() bool {
		return each(row.manifest())
	})
	if err != nil {
		return fmt.Errorf("list recent manifests of %s: %w", repository, err)
	}
	return nil
}

// referrersBytes bounds the bytes of the manifests that one page of referrers
// is made from; a page has at least one.
const referrersBytes = 8 << 20

// Referrers returns up to limit manifests of a repository whose subject is the
// given digest, by digest, from after on, with their bytes, and whether there
// may be more. An empty artifactType stands for all.
func (s *Store) Referrers(ctx context.Context, repository string, subject digest.Digest, artifactType string, after digest.Digest, limit int) (referrers []Manifest, more bool, err error) {
	const query = `SELECT ` + manifestColumns + `, m.raw
		FROM repositories r JOIN manifests m ON m.repository_id = r.id
		WHERE r.name = $1 AND m.subject = $2 AND m.subject <> '' AND m.digest > $3 AND ($4 = '' OR m.artifact_type = $4)
		ORDER BY m.digest LIMIT $5`
	var row manifestRow
	var raw []byte
	size := 0
	err = s.list(ctx, query, []any{repository, string(subject), string(after), artifactType, limit + 1}, append(row.columns(), &raw), func() bool {
		if len(referrers) == limit || size > referrersBytes {
			more = true
			return false
		}
		m := row.manifest()
		m.Raw = raw
		raw = nil
		size += len(m.Raw)
		referrers = append(referrers, m)
		return true
	})
	if err != nil {
		return nil, false, fmt.Errorf("list referrers of %s in %s: %w", subject, repository, err)
	}
	return referrers, more, nil
}

// DeleteManifest removes a manifest and the tags that point to it. An index
// that lists it becomes sparse; what it refers to stays until it is collected.
// The error wraps [ErrManifestUnknown] where the repository does not hold it and
// [ErrHeld] where it or one of its tags is on hold.
func (s *Store) DeleteManifest(ctx context.Context, repository string, d digest.Digest, actor string) error {
	return s.update(ctx, fmt.Sprintf("delete manifest %s from %s", d, repository), func(t *tx) error {
		repo, err := t.holder(repository)
		if err != nil {
			return err
		}
		var id int64
		err = t.get(`SELECT id FROM manifests WHERE repository_id = $1 AND digest = $2`+t.dialect.lock, []any{repo, string(d)}, []any{&id})
		if err != nil {
			return orElse(err, ErrManifestUnknown)
		}
		if err := t.checkHold(repo, string(d)); err != nil {
			return err
		}
		var tags []string
		var tag string
		err = t.list(`SELECT name FROM tags WHERE manifest_id = $1 ORDER BY name`+t.dialect.lock, []any{id}, []any{&tag}, func() bool {
			tags = append(tags, tag)
			return true
		})
		if err != nil {
			return err
		}
		for _, tag := range tags {
			if err := t.deleteTag(repo, tag, d, actor); err != nil {
				return err
			}
		}
		return t.bury(repo, id, d, actor)
	})
}

// bury removes a manifest that no tag points to: it goes to its grave, and all
// that it held or that held on to it is let go of. The grave lasts as long as its
// blobs do: until their review, and then in the trash.
func (t *tx) bury(repo, id int64, d digest.Digest, actor string) error {
	t.tell(repo, Event{Action: EventDelete, Digest: d, Manifest: true, Origin: actedBy(actor)})
	_, err := t.exec(`INSERT INTO graves (repository_id, digest, media_type, raw, removed, expires_at)
		SELECT repository_id, digest, media_type, raw, CAST($2 AS BIGINT), CAST($3 AS BIGINT) FROM manifests WHERE id = $1
		ON CONFLICT (repository_id, digest) DO UPDATE SET removed = excluded.removed, expires_at = excluded.expires_at`,
		id, t.now, t.after(t.options.Lease+t.options.Trash))
	if err != nil {
		return err
	}
	if err := t.releaseHeld(repo, id, d); err != nil {
		return err
	}
	if _, err := t.exec(`DELETE FROM manifests WHERE id = $1`, id); err != nil {
		return err
	}
	return t.changed(EntryManifest, repo, string(d))
}
