package provider

import (
	"context"
	"io"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// spool keeps what is compressed for the outputs of a repository as its blobs.
type spool struct {
	store
	repository string
}

var _ container.Spool = spool{}

// Keep is what [container.Spool] asks for.
func (s spool) Keep(ctx context.Context, write func(w io.Writer) error) (extent.Digest, int64, error) {
	record, err := s.write(ctx, s.repository, write)
	return extent.Digest(record.Digest), record.Size, err
}
