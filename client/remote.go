package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// OpenImage opens the image that the repository's reference names. Of an index
// it is the one for an architecture.
func (r *Repository) OpenImage(ctx context.Context, o OpenOptions) (*Image, error) {
	m, err := r.Manifest(ctx)
	if err != nil {
		return nil, err
	}
	if m, err = r.Platform(ctx, m, o.Arch); err != nil {
		return nil, err
	}
	if _, ok := m.Kind(); ok && o.Content {
		return r.openContent(ctx, m, o)
	}
	if !isImageConfig(m.Config.MediaType) || m.ArtifactType != "" && m.ArtifactType != api.ArtifactBootKit {
		return nil, fmt.Errorf("%s is not an image with a root filesystem, but an artifact of the type %q", r.Reference, cmp.Or(m.ArtifactType, m.Config.MediaType))
	}
	config, err := r.ImageConfig(ctx, m)
	if err != nil {
		return nil, err
	}
	if len(config.RootFS.DiffIDs) != len(m.Layers) {
		return nil, fmt.Errorf("open %s: its config names %d layers, the manifest %d", r.Reference, len(config.RootFS.DiffIDs), len(m.Layers))
	}
	i := &Image{
		Name: r.Reference.String(), Descriptor: m.Descriptor, Manifest: m, Config: config,
		layers: make(map[extent.Digest]layerContent),
	}
	if err := r.openLayers(ctx, i, o); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", r.Reference, err), i.Close())
	}
	return i, nil
}

// openLayers opens the layers of an image, and merges them.
func (r *Repository) openLayers(ctx context.Context, i *Image, o OpenOptions) error {
	changes := make([]*image.Changes, len(i.Manifest.Layers))
	for n, d := range i.Manifest.Layers {
		diffID := i.Config.RootFS.DiffIDs[n]
		content, err := r.openLayer(ctx, i, d, diffID, o)
		if err != nil {
			return err
		}
		i.layers[extent.Digest(diffID)] = content
		changes[n], err = image.ReadChanges(image.Layer{Digest: extent.Digest(diffID), Tar: content, Size: content.Size()})
		if err != nil {
			return err
		}
	}
	var err error
	i.Tree, err = image.MergeChanges(changes)
	return err
}

// openLayer opens the tar of a layer: in pieces where that is wanted and
// possible, else from a temporary file.
func (r *Repository) openLayer(ctx context.Context, i *Image, d ocispec.Descriptor, diffID digest.Digest, o OpenOptions) (layerContent, error) {
	content, _, err := r.openPieces(ctx, d, o)
	if err != nil || content != nil {
		return content, err
	}
	spool, err := newSpool()
	if err != nil {
		return nil, err
	}
	i.closers = append(i.closers, spool)
	if err := r.PullLayer(ctx, d, diffID, spool); err != nil {
		return nil, err
	}
	size, err := spool.Seek(0, io.SeekEnd)
	return sizedFile{spool, size}, err
}

// openPieces opens a blob of frames of which only what is read is fetched. It
// returns nil where that is not wanted or not possible.
func (r *Repository) openPieces(ctx context.Context, d ocispec.Descriptor, o OpenOptions) (layerContent, *frame.Index, error) {
	if o.Whole {
		return nil, nil, nil
	}
	l, err := r.openFramed(ctx, d)
	if l == nil || err != nil {
		return nil, nil, err
	}
	if o.Near == nil {
		return l, l.index, nil
	}
	near, err := l.near(o.Near)
	return near, l.index, err
}
