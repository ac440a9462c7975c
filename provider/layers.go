package provider

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/singleflight"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/image/tarball"
)

// layers makes the content of layers readable at any offset, under their diff
// IDs. The zero flight is ready to use.
type layers struct {
	store
	flight singleflight.Group // by diff ID
}

// ensure sees to it that the store holds the uncompressed content of a layer of
// a repository. The work is done once; what it makes is derived data.
//
// A layer of frames gets a view, after its content was verified. Any other
// compressed layer is decompressed into a twin of frames first: its own bytes
// and digest stay as they are.
func (l *layers) ensure(ctx context.Context, repository string, d ocispec.Descriptor, diffID digest.Digest) error {
	if _, err := l.blobs.Stat(ctx, diffID); !errors.Is(err, blobstore.ErrNotFound) {
		return err
	}
	_, err, _ := l.flight.Do(diffID.String(), func() (any, error) {
		return nil, l.prepare(context.WithoutCancel(ctx), repository, d, diffID)
	})
	if err != nil {
		return fmt.Errorf("prepare layer %s: %w", d.Digest, err)
	}
	return ctx.Err()
}

func (l *layers) prepare(ctx context.Context, repository string, d ocispec.Descriptor, diffID digest.Digest) error {
	if _, err := l.blobs.Stat(ctx, diffID); !errors.Is(err, blobstore.ErrNotFound) {
		return err // somebody was faster
	}
	blob := d.Digest
	_, pos, err := l.blobs.FrameIndex(ctx, d.Digest, framePosition(d))
	if errors.Is(err, frame.ErrFormat) {
		blob, pos, err = l.twin(ctx, repository, d)
	}
	if err != nil {
		return err
	}
	return l.view(ctx, repository, blob, pos, diffID)
}

// framePosition returns where a layer's descriptor says that its frame index
// is, or the zero position.
func framePosition(d ocispec.Descriptor) frame.Position {
	offset, size, sum, ok := api.FrameIndexPosition(d.Annotations)
	if !ok {
		return frame.Position{}
	}
	return frame.Position{Offset: offset, Size: size, Digest: sum}
}

// twin stores the content of a layer again, as frames.
func (l *layers) twin(ctx context.Context, repository string, d ocispec.Descriptor) (digest.Digest, frame.Position, error) {
	blob, err := l.blobs.Open(ctx, d.Digest)
	if err != nil {
		return "", frame.Position{}, err
	}
	defer blob.Close()
	tar, _, err := tarball.Decompress(io.NewSectionReader(blob, 0, blob.Size()))
	if err != nil {
		return "", frame.Position{}, unrenderable(err)
	}
	defer tar.Close()
	f, err := l.writeFrames(ctx, repository, func(frames *frame.Writer) error {
		return unrenderable(tarball.Cut(tar, frames, nil))
	})
	return f.digest, f.position, err
}
