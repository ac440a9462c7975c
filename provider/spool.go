package provider

import (
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/registry/scrub"
)

// spool keeps what is compressed for the outputs of a repository as its blobs.
// They are garbage once no output refers to them.
type spool struct {
	renderer   *Renderer
	repository string
}

var _ container.Spool = (*spool)(nil)

// Keep is what [container.Spool] asks for.
func (s *spool) Keep(ctx context.Context, write func(w io.Writer) error) (extent.Digest, int64, error) {
	blobs := s.renderer.blobs
	w, err := blobs.Create(ctx, digest.Canonical)
	if err != nil {
		return "", 0, err
	}
	if err := write(w); err != nil {
		return "", 0, errors.Join(err, w.Close(), blobs.Remove(ctx, w.Key()))
	}
	record, err := w.Seal(ctx, "")
	if err != nil {
		return "", 0, err
	}
	record, err = scrub.Commit(ctx, blobs, s.renderer.meta, s.repository, record, nil)
	return extent.Digest(record.Digest), record.Size, err
}
