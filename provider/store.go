package provider

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/registry/metadata"
	"github.com/cloudlets/cloudlets/registry/scrub"
)

// store keeps what is made of images as blobs of their repositories. They are
// garbage once nothing refers to them.
type store struct {
	blobs *blobstore.Store
	meta  *metadata.Store
}

// commit makes a blob that was sealed one of a repository.
func (s store) commit(ctx context.Context, repository string, sealed blobstore.Record) (blobstore.Record, error) {
	return scrub.Commit(ctx, s.blobs, s.meta, repository, sealed, nil)
}

// write stores what fill writes as a blob of a repository, and nothing where that
// fails.
func (s store) write(ctx context.Context, repository string, fill func(w io.Writer) error) (blobstore.Record, error) {
	sealed, err := s.blobs.Write(ctx, "", func(w *blobstore.Writer) error { return fill(w) })
	if err != nil {
		return blobstore.Record{}, err
	}
	return s.commit(ctx, repository, sealed)
}

// framed is a blob of frames that was stored.
type framed struct {
	digest   digest.Digest
	index    *frame.Index
	position frame.Position // of the index
}

// writeFrames is write for a blob of frames.
func (s store) writeFrames(ctx context.Context, repository string, fill func(frames *frame.Writer) error) (f framed, err error) {
	record, err := s.write(ctx, repository, func(w io.Writer) error {
		frames, err := frame.NewWriter(w)
		if err != nil {
			return err
		}
		err = fill(frames)
		var closeErr error
		f.index, f.position, closeErr = frames.Close()
		return errors.Join(err, closeErr)
	})
	f.digest = record.Digest
	return f, err
}

// view has a blob of frames read as its content, under the digest of that, which
// is verified.
func (s store) view(ctx context.Context, repository string, blob digest.Digest, index frame.Position, content digest.Digest) error {
	sealed, err := s.blobs.SealFrames(ctx, blob, index, content)
	if err != nil {
		return fmt.Errorf("read the frames of blob %s: %w", blob, err)
	}
	_, err = s.commit(ctx, repository, sealed)
	return err
}
