package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/cloudlet"
)

// PushOptions say what an image is called and runs on.
type PushOptions struct {
	// Arch is the architecture in OCI's words; empty is what the cloudlet
	// manifest says, or else amd64.
	Arch string
	// ArtifactType makes something else than an image of the tar:
	// api.ArtifactBootKit.
	ArtifactType string
	// Manifest is the cloudlet manifest as it was written, instead of the one in
	// the rootfs.
	Manifest []byte
	// Annotations are put on the manifest, besides those that follow from the
	// cloudlet manifest and in their place.
	Annotations map[string]string
	// Created is the date of the image; nil is that of the newest file in a
	// rootfs, and none of another file.
	Created *time.Time
}

// Push makes an image of a rootfs tar, pushes it to the repository and tags it
// as the repository's reference says. Equal tars make equal images, whoever
// pushes them.
func (r *Repository) Push(ctx context.Context, tar io.Reader, o PushOptions) (ocispec.Descriptor, error) {
	l, err := r.pushLayer(ctx, tarLayer(tar))
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return r.pushLayerAsImage(ctx, l, o)
}

// pushLayerAsImage pushes the image of one layer, which the repository holds.
func (r *Repository) pushLayerAsImage(ctx context.Context, l *layer, o PushOptions) (ocispec.Descriptor, error) {
	config, annotations, err := describe(l, o)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	maps.Copy(annotations, o.Annotations)
	configDescriptor, err := r.pushBytes(ctx, ocispec.MediaTypeImageConfig, config)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("push config: %w", err)
	}
	return r.pushManifest(ctx, ocispec.Manifest{
		ArtifactType: o.ArtifactType,
		Config:       configDescriptor,
		Layers:       []ocispec.Descriptor{l.descriptor},
		Annotations:  annotations,
	})
}

// describe returns the OCI config of an image of one layer, and the annotations
// of its manifest.
func describe(l *layer, o PushOptions) (config []byte, annotations map[string]string, err error) {
	arch := o.Arch
	run := ocispec.ImageConfig{Cmd: []string{"/bin/sh"}}
	annotations = make(map[string]string)
	raw := l.manifest
	if o.Manifest != nil {
		raw = o.Manifest
	}
	if len(raw) > 0 {
		m, err := cloudlet.ParseManifest(raw)
		if err != nil {
			return nil, nil, fmt.Errorf("cloudlet manifest /%s: %w", image.ManifestPath, err)
		}
		if err := annotate(annotations, m, raw); err != nil {
			return nil, nil, err
		}
		if arch == "" {
			arch = m.Arch
		}
		if e := m.Entrypoints[cloudlet.EntryChroot]; e != nil && len(e.Command) > 0 {
			run = ocispec.ImageConfig{Entrypoint: e.Shell()}
		}
	}
	created := l.newest
	if o.Created != nil {
		created = *o.Created
	}
	if o.ArtifactType == "" && !created.IsZero() {
		annotations[ocispec.AnnotationCreated] = created.UTC().Format(time.RFC3339)
	}
	config, err = json.Marshal(ocispec.Image{
		Created:  &created,
		Platform: ocispec.Platform{Architecture: ociArch(arch), OS: "linux"},
		Config:   run,
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{l.diffID}},
	})
	return config, annotations, err
}

// annotate adds what the OCI manifest says of a cloudlet manifest.
func annotate(annotations map[string]string, m *cloudlet.Manifest, raw []byte) error {
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return fmt.Errorf("cloudlet manifest: %w", err)
	}
	annotations[api.AnnotationManifest] = compact.String()
	for key, value := range map[string]string{
		ocispec.AnnotationTitle:       m.Name,
		ocispec.AnnotationDescription: m.Description,
		ocispec.AnnotationAuthors:     m.Author,
	} {
		if value != "" {
			annotations[key] = value
		}
	}
	return nil
}

// ociArch returns OCI's word (Go's GOARCH) for an architecture; without one, that
// of x86-64.
func ociArch(arch string) string {
	if arch == "" {
		return "amd64"
	}
	return cloudlet.OCIArch(arch)
}

// pushBytes uploads a small blob.
func (r *Repository) pushBytes(ctx context.Context, mediaType string, b []byte) (ocispec.Descriptor, error) {
	d := content.NewDescriptorFromBytes(mediaType, b)
	return d, r.pushWhole(ctx, d, bytes.NewReader(b))
}

// pushEmptyConfig uploads the config of artifacts, which says nothing, and returns
// its descriptor.
//
// Source: OCI image specification, guidance for an empty descriptor.
func (r *Repository) pushEmptyConfig(ctx context.Context) (ocispec.Descriptor, error) {
	config := ocispec.DescriptorEmptyJSON
	if _, err := r.pushBytes(ctx, config.MediaType, config.Data); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("push config: %w", err)
	}
	config.Data = nil
	return config, nil
}

// encodeManifest encodes a manifest, and says in it that it is one.
func encodeManifest(m ocispec.Manifest) ([]byte, error) {
	m.SchemaVersion, m.MediaType = 2, ocispec.MediaTypeImageManifest
	return json.Marshal(m)
}

// pushManifest puts a manifest under the repository's reference.
func (r *Repository) pushManifest(ctx context.Context, m ocispec.Manifest) (ocispec.Descriptor, error) {
	raw, err := encodeManifest(m)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d, err := oras.TagBytes(ctx, r.Repository, ocispec.MediaTypeImageManifest, raw, r.TagOrDigest())
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("push manifest: %w", err)
	}
	d.ArtifactType = m.ArtifactType
	return d, nil
}
