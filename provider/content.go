package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/converter"
	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// loadContent reads an image that is no rootfs: what it holds, as its artifact
// type declares it.
func (r *Renderer) loadContent(ctx context.Context, repository string, m ocispec.Manifest) (*converter.Content, error) {
	imageType, format, ok := api.ParseArtifactKind(m.ArtifactType)
	if !ok || !slices.Contains(converter.ContentTypes(), imageType) || len(m.Layers) != 1 {
		return nil, unrenderable(fmt.Errorf("it is an artifact of the type %s, which is not rendered: pull it as it is", m.ArtifactType))
	}
	layer := m.Layers[0]
	content := &converter.Content{Type: imageType}
	d, _, framed := api.FramedContent(layer.MediaType, layer.Annotations)
	if !framed {
		var err error
		content.Map, err = r.openVerbatim(ctx, repository, format, layer.Digest)
		return content, err
	}
	if err := r.layers.ensure(ctx, repository, layer, d); err != nil {
		return nil, err
	}
	index, _, err := r.blobs.FrameIndex(ctx, layer.Digest, framePosition(layer))
	if err != nil {
		return nil, err
	}
	content.Digest, content.Frames = d, index
	content.Map, err = index.Map(extent.Digest(d))
	return content, err
}

// openVerbatim opens the disk in a file that was pushed as it is.
func (r *Renderer) openVerbatim(ctx context.Context, repository, format string, d digest.Digest) (*extent.Map, error) {
	blob, err := r.blobs.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	source := extent.Digest(d)
	disk, err := converter.Open(ctx, format, blob, blob.Size(), source)
	if err != nil {
		return nil, unrenderable(err)
	}
	if disk.Units == nil {
		return r.blobs.Flatten(ctx, disk.Map)
	}
	return r.decompress(ctx, repository, extent.NewReader(ctx, disk.Map, disk.Blobs(source, blob)))
}

// decompress stores a disk that is compressed in its file again, as frames on a
// grid, and returns it as their content. It closes the disk.
func (r *Renderer) decompress(ctx context.Context, repository string, disk *extent.Reader) (*extent.Map, error) {
	hash := digest.Canonical.Digester()
	f, err := r.writeFrames(ctx, repository, func(frames *frame.Writer) error {
		grid := frame.NewGrid(frames)
		_, err := disk.WriteTo(io.MultiWriter(hash.Hash(), grid))
		if errors.Is(err, container.ErrFormat) {
			return unrenderable(err)
		}
		if err != nil {
			return err
		}
		return grid.Close()
	})
	if err := errors.Join(err, disk.Close()); err != nil {
		return nil, err
	}
	content := hash.Digest()
	if err := r.view(ctx, repository, f.digest, f.position, content); err != nil {
		return nil, err
	}
	return f.index.Map(extent.Digest(content))
}
