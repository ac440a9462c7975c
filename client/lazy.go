package client

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry"

	"github.com/cloudlets/cloudlets/client/lazy"
	"github.com/cloudlets/cloudlets/extent"
)

// Lazily returns a file of a render as a disk whose content is fetched when it is
// read. The image, and the boot kit, were opened with the cache.
func (r Rendered) Lazily(ctx context.Context, file int, cache *lazy.Cache, window int64) *lazy.Disk {
	layers := make(map[extent.Digest]*lazy.Layer)
	for _, i := range r.images {
		for d, content := range i.layers {
			if l, ok := content.(*lazy.Layer); ok {
				layers[d] = l
			}
		}
	}
	return lazy.NewDisk(ctx, r.Files[file].Map, r.Open, cache, layers, window)
}

// PushTrace pushes the trace of a boot of the image that the repository's
// reference names, as an artifact with the image as its subject. Of an index it is
// the image for an architecture.
func (r *Repository) PushTrace(ctx context.Context, t *lazy.Trace, arch string) (ocispec.Descriptor, error) {
	m, err := r.Manifest(ctx)
	if err == nil {
		m, err = r.Platform(ctx, m, arch)
	}
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	var encoded bytes.Buffer
	if _, err := t.WriteTo(&encoded); err != nil {
		return ocispec.Descriptor{}, err
	}
	blob, err := r.pushBytes(ctx, lazy.TraceType, encoded.Bytes())
	if err != nil {
		return blob, fmt.Errorf("push the trace: %w", err)
	}
	config, err := r.pushEmptyConfig(ctx)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	subject := Descriptor(m.Descriptor.MediaType, m.Descriptor.Digest, m.Descriptor.Size)
	return r.pushUntagged(ctx, ocispec.Manifest{
		ArtifactType: lazy.TraceType, Config: config, Layers: []ocispec.Descriptor{blob}, Subject: &subject,
		Annotations: map[string]string{ocispec.AnnotationCreated: time.Now().UTC().Format(time.RFC3339Nano)},
	})
}

// pushUntagged pushes a manifest that is found by its digest, or its subject.
func (r *Repository) pushUntagged(ctx context.Context, m ocispec.Manifest) (ocispec.Descriptor, error) {
	raw, err := encodeManifest(m)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d := content.NewDescriptorFromBytes(ocispec.MediaTypeImageManifest, raw)
	if err := r.Repository.Push(ctx, d, bytes.NewReader(raw)); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("push manifest: %w", err)
	}
	d.ArtifactType = m.ArtifactType
	return d, nil
}

// Trace returns the latest trace of a boot of an image, or nil where none was
// pushed.
func (r *Repository) Trace(ctx context.Context, image ocispec.Descriptor) (*lazy.Trace, error) {
	found, err := registry.Referrers(ctx, r.Repository, image, lazy.TraceType)
	if err != nil {
		return nil, fmt.Errorf("look for traces of %s: %w", image.Digest, err)
	}
	if len(found) == 0 {
		return nil, nil
	}
	latest := slices.MaxFunc(found, func(a, b ocispec.Descriptor) int {
		created := ocispec.AnnotationCreated
		return cmp.Or(cmp.Compare(a.Annotations[created], b.Annotations[created]), cmp.Compare(a.Digest, b.Digest))
	})
	m, err := r.at(latest.Digest.String()).Manifest(ctx)
	if err != nil {
		return nil, err
	}
	if len(m.Layers) != 1 || m.Layers[0].MediaType != lazy.TraceType {
		return nil, fmt.Errorf("trace %s: expected one blob of the type %s: %w", latest.Digest, lazy.TraceType, lazy.ErrTrace)
	}
	var encoded bytes.Buffer
	if m.Layers[0].Size > lazy.MaxTrace {
		return nil, fmt.Errorf("trace %s: %d bytes, at most %d are read: %w", latest.Digest, m.Layers[0].Size, lazy.MaxTrace, lazy.ErrTrace)
	}
	if err := r.PullBlob(ctx, m.Layers[0], &encoded); err != nil {
		return nil, err
	}
	return lazy.ReadTrace(&encoded)
}
