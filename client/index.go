package client

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"

	"github.com/cloudlets/cloudlets/api"
)

// IndexOptions say what an index is called.
type IndexOptions struct {
	// Annotations are put on the index.
	Annotations map[string]string
	// Created is the date of the index; nil is that of its newest image.
	Created *time.Time
}

// CreateIndex pushes an index of images, one for each platform, and tags it as
// the repository's reference says. An image of another repository is copied to
// this one. Of an index all images are taken. The order of images is that of
// their platforms: the same images make the same index.
//
// Source: OCI image specification, image index.
func (r *Repository) CreateIndex(ctx context.Context, images []*Repository, o IndexOptions) (ocispec.Descriptor, error) {
	var entries indexEntries
	for _, from := range images {
		if err := entries.add(ctx, from); err != nil {
			return ocispec.Descriptor{}, err
		}
	}
	if err := entries.sort(); err != nil {
		return ocispec.Descriptor{}, err
	}
	for _, from := range images {
		if from.name() == r.name() {
			continue
		}
		if _, err := copyAll(ctx, from, r, false); err != nil {
			return ocispec.Descriptor{}, err
		}
	}
	return r.pushIndex(ctx, entries.list, entries.annotations(o))
}

// pushIndex puts an index under the repository's reference.
func (r *Repository) pushIndex(ctx context.Context, entries []ocispec.Descriptor, annotations map[string]string) (ocispec.Descriptor, error) {
	raw, err := json.Marshal(ocispec.Index{
		Versioned:   specs.Versioned{SchemaVersion: 2},
		MediaType:   ocispec.MediaTypeImageIndex,
		Manifests:   entries,
		Annotations: annotations,
	})
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if len(raw) > maxManifest {
		return ocispec.Descriptor{}, fmt.Errorf("push index: it has %d bytes, at most %d are read", len(raw), maxManifest)
	}
	d, err := oras.TagBytes(ctx, r.Repository, ocispec.MediaTypeImageIndex, raw, r.TagOrDigest())
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("push index: %w", err)
	}
	return d, nil
}

// indexEntries gathers what an index names.
type indexEntries struct {
	list   []ocispec.Descriptor
	newest time.Time
}

// add adds the image that a repository's reference names, or all of an index.
func (e *indexEntries) add(ctx context.Context, from *Repository) error {
	m, err := from.Manifest(ctx)
	if err != nil {
		return err
	}
	if !m.isIndex() {
		return e.addImage(ctx, from, m)
	}
	children, err := m.children()
	if err != nil {
		return err
	}
	for _, d := range children {
		child, err := from.at(d.Digest.String()).Manifest(ctx)
		if err != nil {
			return fmt.Errorf("index %s: %w", from.Reference, err)
		}
		if child.isIndex() {
			return fmt.Errorf("index %s: it has the index %s in it, expected images", from.Reference, d.Digest)
		}
		if err := e.addImage(ctx, from, child); err != nil {
			return err
		}
	}
	return nil
}

func (e *indexEntries) addImage(ctx context.Context, from *Repository, m *Manifest) error {
	if !isImageConfig(m.Config.MediaType) {
		return fmt.Errorf("%s (%s) is an artifact of the type %q, expected an image, whose OCI config names its platform",
			from.Reference, m.Descriptor.Digest, cmp.Or(m.ArtifactType, m.Config.MediaType))
	}
	config, err := from.ImageConfig(ctx, m)
	if err != nil {
		return err
	}
	if config.OS == "" || config.Architecture == "" {
		return fmt.Errorf("the OCI config of %s (%s) names the platform %q, expected an operating system and an architecture",
			from.Reference, m.Descriptor.Digest, PlatformName(&config.Platform))
	}
	if config.Created != nil && config.Created.After(e.newest) {
		e.newest = *config.Created
	}
	platform := config.Platform
	e.list = append(e.list, ocispec.Descriptor{
		MediaType: m.Descriptor.MediaType, Digest: m.Descriptor.Digest, Size: m.Descriptor.Size, Platform: &platform,
	})
	return nil
}

// sort puts the entries in the order of their platforms, of which each may have
// one.
func (e *indexEntries) sort() error {
	slices.SortFunc(e.list, func(a, b ocispec.Descriptor) int {
		return cmp.Or(strings.Compare(PlatformName(a.Platform), PlatformName(b.Platform)), cmp.Compare(a.Digest, b.Digest))
	})
	for i := 1; i < len(e.list); i++ {
		a, b := e.list[i-1], e.list[i]
		if PlatformName(a.Platform) == PlatformName(b.Platform) {
			return fmt.Errorf("%s and %s are both for %s, expected one image for each platform (push --arch says which an image is for)",
				a.Digest, b.Digest, PlatformName(b.Platform))
		}
	}
	return nil
}

// annotations returns those of the index.
func (e *indexEntries) annotations(o IndexOptions) map[string]string {
	created := e.newest
	if o.Created != nil {
		created = *o.Created
	}
	annotations := make(map[string]string)
	if !created.IsZero() {
		annotations[ocispec.AnnotationCreated] = created.UTC().Format(time.RFC3339)
	}
	maps.Copy(annotations, o.Annotations)
	return annotations
}

// PlatformName writes a platform as container tools do: os/architecture, with
// the variant and the version of the operating system where there are any. It is
// empty for none.
func PlatformName(p *ocispec.Platform) string {
	if p == nil {
		return ""
	}
	name := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		name += "/" + p.Variant
	}
	if p.OSVersion != "" {
		name += " " + p.OSVersion
	}
	return name
}

// isIndex reports whether a manifest is an index of others.
func (m *Manifest) isIndex() bool {
	return api.IsIndex(m.Descriptor.MediaType)
}

// children returns what an index names.
func (m *Manifest) children() ([]ocispec.Descriptor, error) {
	var index ocispec.Index
	if err := json.Unmarshal(m.Raw, &index); err != nil {
		return nil, fmt.Errorf("index %s: %w", m.Descriptor.Digest, err)
	}
	return index.Manifests, nil
}
