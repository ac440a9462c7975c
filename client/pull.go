package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/oci"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/image/kind"
)

// maxManifest bounds a manifest that is pulled, in bytes: what the
// distribution spec asks registries to accept at least.
const maxManifest = 4 << 20

// Manifest is a manifest with its descriptor, byte for byte as the registry
// has it.
type Manifest struct {
	Descriptor ocispec.Descriptor
	Raw        []byte
	ocispec.Manifest
}

// Manifest fetches and verifies the manifest that the repository's reference
// names; "latest" without one.
func (r *Repository) Manifest(ctx context.Context) (*Manifest, error) {
	d, body, err := r.Manifests().FetchReference(ctx, r.TagOrDigest())
	if err != nil {
		return nil, fmt.Errorf("fetch manifest %s: %w", r.Reference, err)
	}
	defer body.Close()
	if d.Size > maxManifest {
		return nil, fmt.Errorf("fetch manifest %s: %d bytes, at most %d are read", r.Reference, d.Size, maxManifest)
	}
	raw, err := content.ReadAll(body, d)
	if err != nil {
		return nil, fmt.Errorf("fetch manifest %s: %w", r.Reference, err)
	}
	m := &Manifest{Descriptor: d, Raw: raw}
	if err := json.Unmarshal(raw, &m.Manifest); err != nil {
		return nil, fmt.Errorf("manifest %s: %w", r.Reference, err)
	}
	return m, nil
}

// Platform returns the manifest for a platform: m itself, or the one of an
// index that fits an architecture, for Linux.
func (r *Repository) Platform(ctx context.Context, m *Manifest, arch string) (*Manifest, error) {
	if !m.isIndex() {
		return m, nil
	}
	children, err := m.children()
	if err != nil {
		return nil, err
	}
	for _, d := range children {
		if d.Platform != nil && d.Platform.OS == "linux" && d.Platform.Architecture == ociArch(arch) {
			return r.at(d.Digest.String()).Manifest(ctx)
		}
	}
	return nil, fmt.Errorf("index %s has no manifest for linux/%s", m.Descriptor.Digest, ociArch(arch))
}

// Pulled is what was pulled.
type Pulled struct {
	Reference string `json:"reference"`
	ocispec.Descriptor
}

// Pull writes what the repository's reference names to w: of an image of one
// layer, the tar of its rootfs; of an artifact with one blob, that.
func (r *Repository) Pull(ctx context.Context, w io.Writer) (Pulled, error) {
	m, err := r.Manifest(ctx)
	if err != nil {
		return Pulled{}, err
	}
	pulled := Pulled{Reference: r.Reference.String(), Descriptor: m.Descriptor}
	if m, err = r.Platform(ctx, m, ""); err != nil {
		return pulled, err
	}
	if len(m.Layers) != 1 {
		return pulled, fmt.Errorf("pull %s: it has %d layers, a file is one: copy the image with --layout", r.Reference, len(m.Layers))
	}
	if !isImageConfig(m.Config.MediaType) {
		return pulled, r.PullFile(ctx, m.Layers[0], w)
	}
	config, err := r.ImageConfig(ctx, m)
	if err != nil {
		return pulled, err
	}
	if len(config.RootFS.DiffIDs) != 1 {
		return pulled, fmt.Errorf("pull %s: its config names %d layers, the manifest 1", r.Reference, len(config.RootFS.DiffIDs))
	}
	return pulled, r.PullLayer(ctx, m.Layers[0], config.RootFS.DiffIDs[0], w)
}

// PullLayout copies what the repository's reference names, whole, into an OCI
// image layout.
func (r *Repository) PullLayout(ctx context.Context, dir string) (Pulled, error) {
	layout, err := oci.NewWithContext(ctx, dir)
	if err != nil {
		return Pulled{}, fmt.Errorf("open OCI layout %s: %w", dir, err)
	}
	reference := r.TagOrDigest()
	d, err := oras.Copy(ctx, r.Repository, reference, layout, reference, oras.DefaultCopyOptions)
	if err != nil {
		return Pulled{}, fmt.Errorf("pull %s: %w", r.Reference, err)
	}
	return Pulled{Reference: r.Reference.String(), Descriptor: d}, nil
}

// PullBlob writes a blob to w and verifies it.
func (r *Repository) PullBlob(ctx context.Context, d ocispec.Descriptor, w io.Writer) error {
	return r.pullBlob(ctx, d, func(body io.Reader) error {
		_, err := io.Copy(w, body)
		return err
	})
}

// pullBlob passes a blob to use and verifies what use has read of it, which
// must be all.
func (r *Repository) pullBlob(ctx context.Context, d ocispec.Descriptor, use func(io.Reader) error) error {
	body, err := r.Blobs().Fetch(ctx, d)
	if err != nil {
		return fmt.Errorf("pull blob %s: %w", d.Digest, err)
	}
	defer body.Close()
	step := r.client.step("download", d.Size)
	verified := content.NewVerifyReader(io.TeeReader(resume(ctx, body, d.Size), &counter{step: step}), d)
	if err = use(verified); err == nil {
		err = verified.Verify()
	}
	step.End(err)
	if err != nil {
		return fmt.Errorf("pull blob %s: %w", d.Digest, err)
	}
	return nil
}

// PullLayer writes the tar of a layer to w, decompressed, and verifies both
// digests of the layer.
func (r *Repository) PullLayer(ctx context.Context, d ocispec.Descriptor, diffID digest.Digest, w io.Writer) error {
	plain := newHashWriter(w)
	err := r.pullBlob(ctx, d, func(body io.Reader) error {
		tar, err := decompress(d.MediaType, body)
		if err != nil {
			return err
		}
		_, err = io.Copy(plain, tar)
		return errors.Join(err, tar.Close(), drain(body))
	})
	if err != nil {
		return err
	}
	if got := plain.digest(); got != diffID {
		return fmt.Errorf("pull layer %s: its content has the digest %s, the config says %s", d.Digest, got, diffID)
	}
	return nil
}

// drain reads what a decompressor has left unread, so that all is verified.
func drain(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// decompress undoes the compression that a layer's media type names.
func decompress(mediaType string, r io.Reader) (io.ReadCloser, error) {
	switch mediaType {
	case ocispec.MediaTypeImageLayerZstd, api.MediaTypeFramed(string(kind.Disk)), api.MediaTypeFramed(string(kind.Filesystem)):
		z, err := zstd.NewReader(r)
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	case ocispec.MediaTypeImageLayerGzip, api.MediaTypeDockerLayerGzip:
		return gzip.NewReader(r)
	case ocispec.MediaTypeImageLayer, api.MediaTypeDockerLayer:
		return io.NopCloser(r), nil
	}
	return nil, fmt.Errorf("layer of unknown media type %q", mediaType)
}

// ImageConfig fetches and verifies the OCI config of an image.
func (r *Repository) ImageConfig(ctx context.Context, m *Manifest) (*ocispec.Image, error) {
	if m.Config.Size > maxManifest {
		return nil, fmt.Errorf("config of %s: %d bytes, at most %d are read", m.Descriptor.Digest, m.Config.Size, maxManifest)
	}
	body, err := r.Blobs().Fetch(ctx, m.Config)
	if err != nil {
		return nil, fmt.Errorf("fetch config of %s: %w", m.Descriptor.Digest, err)
	}
	defer body.Close()
	raw, err := content.ReadAll(body, m.Config)
	if err != nil {
		return nil, fmt.Errorf("fetch config of %s: %w", m.Descriptor.Digest, err)
	}
	var config ocispec.Image
	if err := json.Unmarshal(raw, &config); err != nil {
		return nil, fmt.Errorf("config of %s: %w", m.Descriptor.Digest, err)
	}
	return &config, nil
}
