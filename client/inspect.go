package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/image/kind"
)

// Summary is what there is to know of an image at a glance, in the words of
// skopeo inspect where it has them.
type Summary struct {
	Name            string
	Digest          digest.Digest
	MediaType       string
	ArtifactType    string         `json:",omitempty"`
	ImageType       kind.Type      `json:",omitempty"` // of an artifact that is a file
	ContainerFormat kind.Container `json:",omitempty"`
	Created         *time.Time
	Architecture    string               `json:",omitempty"`
	Os              string               `json:",omitempty"`
	Labels          map[string]string    `json:",omitempty"`
	Annotations     map[string]string    `json:",omitempty"`
	Subject         *ocispec.Descriptor  `json:",omitempty"`
	Layers          []ocispec.Descriptor `json:",omitempty"`
	Manifests       []ocispec.Descriptor `json:",omitempty"` // of an index
	Derived         []ocispec.Descriptor `json:",omitempty"` // artifacts whose subject the image is
	Attached        []TaggedManifest     `json:",omitempty"` // what cosign has tagged after the digest
	Cloudlet        json.RawMessage      `json:",omitempty"` // the cloudlet manifest
}

// Inspect returns a summary of what the repository's reference names.
func (r *Repository) Inspect(ctx context.Context) (*Summary, error) {
	m, err := r.Manifest(ctx)
	if err != nil {
		return nil, err
	}
	s := &Summary{
		Name:      r.Reference.Registry + "/" + r.Reference.Repository,
		Digest:    m.Descriptor.Digest,
		MediaType: m.Descriptor.MediaType, ArtifactType: m.ArtifactType,
		Annotations: m.Annotations, Subject: m.Subject, Layers: m.Layers,
	}
	if k, ok := m.Kind(); ok {
		s.ImageType, s.ContainerFormat = k.Type, k.Container
	}
	if raw := m.Annotations[api.AnnotationManifest]; raw != "" && json.Valid([]byte(raw)) {
		s.Cloudlet = json.RawMessage(raw)
	}
	if s.Derived, err = registry.Referrers(ctx, r.Repository, m.Descriptor, ""); err != nil {
		return nil, fmt.Errorf("list what refers to %s: %w", m.Descriptor.Digest, err)
	}
	if s.Attached, err = r.attached(ctx, m.Descriptor.Digest); err != nil {
		return nil, err
	}
	if m.isIndex() {
		if created, err := time.Parse(time.RFC3339, m.Annotations[ocispec.AnnotationCreated]); err == nil {
			s.Created = &created
		}
		s.Manifests, err = m.children()
		return s, err
	}
	if !isImageConfig(m.Config.MediaType) {
		return s, nil
	}
	config, err := r.ImageConfig(ctx, m)
	if err != nil {
		return nil, err
	}
	s.Created, s.Architecture, s.Os, s.Labels = config.Created, config.Architecture, config.OS, config.Config.Labels
	return s, nil
}

// attached returns the signatures, attestations and bills of materials that
// cosign has attached to a digest by tags, as it does where it is not told to use
// the Referrers API.
//
// Source: cosign, specs/SIGNATURE_SPEC.md.
func (r *Repository) attached(ctx context.Context, d digest.Digest) ([]TaggedManifest, error) {
	var list []TaggedManifest
	for _, suffix := range []string{".sig", ".att", ".sbom"} {
		tag := d.Algorithm().String() + "-" + d.Encoded() + suffix
		found, err := r.Resolve(ctx, tag)
		if errors.Is(err, errdef.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look for what is attached to %s: %w", d, err)
		}
		list = append(list, TaggedManifest{Tag: tag, Descriptor: found})
	}
	return list, nil
}

func isImageConfig(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageConfig || mediaType == api.MediaTypeDockerConfig
}

// Kind returns what the file is that an artifact holds, if it is one.
func (m *Manifest) Kind() (k kind.Kind, ok bool) {
	if len(m.Layers) != 1 {
		return kind.Kind{}, false
	}
	// The artifact type of what a provider takes is named after the provider.
	for _, name := range []string{m.ArtifactType, m.Layers[0].MediaType} {
		if k, ok := kindOf(name); ok {
			return k, true
		}
	}
	return kind.Kind{}, false
}

// kindOf returns the kind that an artifact type or a media type names. Of a
// format with variants, such as "vhd-fixed", it is the container format.
func kindOf(name string) (kind.Kind, bool) {
	imageType, format, ok := api.ParseArtifactKind(name)
	if !ok {
		return kind.Kind{}, false
	}
	container, _, _ := strings.Cut(format, "-")
	k, err := kind.Parse(imageType, container)
	return k, err == nil && k.Type != "" && k.Container != ""
}

// Repositories lists the repositories of a registry.
func (c *Client) Repositories(ctx context.Context, host string) ([]string, error) {
	reg, err := c.Registry(host)
	if err != nil {
		return nil, err
	}
	names, err := registry.Repositories(ctx, reg)
	if err != nil {
		return nil, fmt.Errorf("list the repositories of %s: %w", host, err)
	}
	return names, nil
}

// TaggedManifest is a tag and what it names.
type TaggedManifest struct {
	Tag string `json:"tag"`
	ocispec.Descriptor
}

// Tagged lists the tags of the repository with what they name.
func (r *Repository) Tagged(ctx context.Context) ([]TaggedManifest, error) {
	tags, err := registry.Tags(ctx, r.Repository)
	if err != nil {
		return nil, fmt.Errorf("list the tags of %s: %w", r.Reference.Repository, err)
	}
	list := []TaggedManifest{}
	for _, tag := range tags {
		d, err := r.Resolve(ctx, tag)
		if err != nil {
			return nil, fmt.Errorf("tag %s of %s: %w", tag, r.Reference.Repository, err)
		}
		list = append(list, TaggedManifest{Tag: tag, Descriptor: d})
	}
	return list, nil
}
