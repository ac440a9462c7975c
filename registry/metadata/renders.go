package metadata

import (
	"context"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
)

// Render is a derived artifact that was made from an image.
type Render struct {
	// Derivation is the digest of all that decides the result: image, format,
	// canonical parameters, converter version.
	Derivation digest.Digest
	Artifact   digest.Digest // the derived artifact's manifest
	Blob       digest.Digest // its content
	Parameters string        // canonical JSON, for people
	Created    time.Time     // the store's to say
}

// SaveRender records a render whose artifact and blob are in the repository. A
// derivation that is recorded already keeps its render: both are the same. The
// error wraps [ErrManifestUnknown] or [ErrBlobUnknown] where one is missing.
func (s *Store) SaveRender(ctx context.Context, repository string, r Render) error {
	return s.update(ctx, fmt.Sprintf("save render %s in %s", r.Derivation, repository), func(t *tx) error {
		var repo, artifact int64
		err := t.get(`SELECT m.repository_id, m.id FROM repositories r JOIN manifests m ON m.repository_id = r.id
			WHERE r.name = $1 AND m.digest = $2`, []any{repository, string(r.Artifact)}, []any{&repo, &artifact})
		if err != nil {
			return orElse(err, ErrManifestUnknown)
		}
		if held, err := t.holds(repo, r.Blob); err != nil || !held {
			return orUnknown(err)
		}
		return t.insertRender(repo, artifact, r, t.now)
	})
}

// insertRender records a render whose artifact is the given row.
func (t *tx) insertRender(repo, artifact int64, r Render, created int64) error {
	_, err := t.exec(`INSERT INTO renders (repository_id, derivation, manifest_id, blob, parameters, created)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (repository_id, derivation) DO NOTHING`,
		repo, string(r.Derivation), artifact, string(r.Blob), r.Parameters, created)
	if err != nil {
		return err
	}
	if err := t.changed(EntryRender, repo, string(r.Derivation)); err != nil {
		return err
	}
	// The image may have gone while it was rendered.
	return t.enqueue(reviewManifest, repo, r.Artifact, t.after(t.options.Lease))
}

// Render returns the render of a derivation. The error wraps
// [ErrRenderUnknown] where there is none in the repository.
func (s *Store) Render(ctx context.Context, repository string, derivation digest.Digest) (Render, error) {
	const query = `SELECT m.digest, d.blob, d.parameters, d.created
		FROM repositories r JOIN renders d ON d.repository_id = r.id JOIN manifests m ON m.id = d.manifest_id
		WHERE r.name = $1 AND d.derivation = $2`
	found := Render{Derivation: derivation}
	var created int64
	err := s.get(ctx, query, []any{repository, string(derivation)}, []any{&found.Artifact, &found.Blob, &found.Parameters, &created})
	if err != nil {
		return Render{}, fmt.Errorf("look up render %s in %s: %w", derivation, repository, orElse(err, ErrRenderUnknown))
	}
	found.Created = timeOf(created)
	return found, nil
}
