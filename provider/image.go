package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/converter"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/cloudlet"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// maxConfig bounds an OCI image config, in bytes.
const maxConfig = 4 << 20

// golden is an image as it is rendered: its manifest and its rootfs.
type golden struct {
	descriptor ocispec.Descriptor
	tree       *image.Tree        // shared: not to be changed; nil where there is content
	content    *converter.Content // of an image that is no rootfs
	manifest   *image.CloudletManifest
	kept       func() (*image.Tree, error) // without volatile paths, made once
}

// load returns an image of a repository: of an index, the manifest for amd64, the
// architecture that disks can be made for. It is read once, also for a render that
// is asked for while a push has it prepared.
func (r *Renderer) load(ctx context.Context, repository string, d digest.Digest) (*golden, error) {
	if g, ok := r.images.Get(d); ok {
		// The cache knows no repositories, so ask whether this one has it.
		_, err := r.meta.StatManifest(ctx, repository, d)
		return g, err
	}
	loaded, err, _ := r.loading.Do(repository+"@"+d.String(), func() (any, error) {
		return r.read(context.WithoutCancel(ctx), repository, d)
	})
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	return loaded.(*golden), nil
}

// read reads an image, and keeps it.
func (r *Renderer) read(ctx context.Context, repository string, d digest.Digest) (*golden, error) {
	stored, err := r.meta.Manifest(ctx, repository, d)
	if err != nil {
		return nil, err
	}
	if api.IsIndex(stored.MediaType) {
		child, err := chooseManifest(stored)
		if err != nil {
			return nil, err
		}
		return r.load(ctx, repository, child)
	}
	g, err := r.loadManifest(ctx, repository, stored)
	if err != nil {
		return nil, fmt.Errorf("load image %s: %w", d, err)
	}
	r.images.Add(d, g, g.memory())
	return g, nil
}

// newGolden returns an image of a tree.
func newGolden(descriptor ocispec.Descriptor, tree *image.Tree, m *image.CloudletManifest) *golden {
	tree.Sort()
	return &golden{
		descriptor: descriptor, tree: tree, manifest: m,
		kept: sync.OnceValues(func() (*image.Tree, error) { return image.DropVolatile(tree, m) }),
	}
}

// rootfs returns the tree that goes into an output: without the volatile paths
// that the cloudlet manifest names, unless they are asked for.
func (g *golden) rootfs(volatile bool) (*image.Tree, error) {
	if volatile {
		return g.tree, nil
	}
	return g.kept()
}

// memory returns about how many bytes an image occupies: with volatile paths
// there are two trees.
func (g *golden) memory() int64 {
	if g.content != nil {
		size := g.content.Map.Memory()
		if g.content.Frames != nil {
			size += g.content.Frames.Memory()
		}
		return size
	}
	size := treeMemory(g.tree)
	if g.manifest.HasVolatile() {
		size *= 2
	}
	return size
}

// treeMemory returns about how many bytes a tree occupies.
func treeMemory(t *image.Tree) int64 {
	const perFile = 700
	n := int64(0)
	for range t.Walk() {
		n += perFile
	}
	return n
}

// chooseManifest returns the manifest of an index that is rendered.
func chooseManifest(m metadata.Manifest) (digest.Digest, error) {
	var index ocispec.Index
	if err := json.Unmarshal(m.Raw, &index); err != nil {
		return "", fmt.Errorf("index %s: %w", m.Digest, err)
	}
	for _, d := range index.Manifests {
		if d.Platform != nil && d.Platform.OS == "linux" && d.Platform.Architecture == "amd64" {
			return d.Digest, nil
		}
	}
	return "", fmt.Errorf("index %s has no manifest for linux/amd64", m.Digest)
}

func (r *Renderer) loadManifest(ctx context.Context, repository string, stored metadata.Manifest) (*golden, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(stored.Raw, &m); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	descriptor := ocispec.Descriptor{MediaType: stored.MediaType, Digest: stored.Digest, Size: stored.Size}
	if m.ArtifactType != "" && m.ArtifactType != api.ArtifactBootKit {
		content, err := r.loadContent(ctx, repository, m)
		return &golden{descriptor: descriptor, content: content, manifest: &image.CloudletManifest{}}, err
	}
	diffIDs, err := r.diffIDs(ctx, m)
	if err != nil {
		return nil, err
	}
	if len(diffIDs) != len(m.Layers) {
		return nil, unrenderable(fmt.Errorf("the manifest has %d layers, its config names %d", len(m.Layers), len(diffIDs)))
	}
	changes := make([]*image.Changes, len(m.Layers))
	for i, d := range m.Layers {
		if err := r.layers.ensure(ctx, repository, d, diffIDs[i]); err != nil {
			return nil, err
		}
		if changes[i], err = r.readChanges(ctx, diffIDs[i]); err != nil {
			return nil, unrenderable(err)
		}
	}
	tree, err := image.MergeChanges(changes)
	if err != nil {
		return nil, unrenderable(err)
	}
	cloudletManifest, err := r.cloudletManifest(ctx, m, tree)
	if err != nil {
		return nil, unrenderable(err)
	}
	return newGolden(descriptor, tree, cloudletManifest), nil
}

// cloudletManifest returns the cloudlet manifest of an image: the one that it was
// pushed with, or else the one in its rootfs.
func (r *Renderer) cloudletManifest(ctx context.Context, m ocispec.Manifest, tree *image.Tree) (*image.CloudletManifest, error) {
	if pushed, ok := m.Annotations[api.AnnotationManifest]; ok {
		return cloudlet.ParseManifest([]byte(pushed))
	}
	return image.ReadCloudletManifest(ctx, tree, r.blobs)
}

// diffIDs returns the digests of the uncompressed layers of an image.
func (r *Renderer) diffIDs(ctx context.Context, m ocispec.Manifest) ([]digest.Digest, error) {
	raw, err := r.readBlob(ctx, m.Config.Digest, maxConfig)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	var config ocispec.Image
	if err := json.Unmarshal(raw, &config); err != nil {
		return nil, fmt.Errorf("config %s: %w", m.Config.Digest, err)
	}
	return config.RootFS.DiffIDs, nil
}

// readChanges reads the headers of a layer.
func (r *Renderer) readChanges(ctx context.Context, diffID digest.Digest) (*image.Changes, error) {
	blob, err := r.blobs.Open(ctx, diffID)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	return image.ReadChanges(image.Layer{Digest: extent.Digest(diffID), Tar: blob, Size: blob.Size()})
}

// readBlob reads a small blob.
func (r *Renderer) readBlob(ctx context.Context, d digest.Digest, limit int64) ([]byte, error) {
	blob, err := r.blobs.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	if blob.Size() > limit {
		return nil, fmt.Errorf("blob %s has %d bytes, at most %d are read", d, blob.Size(), limit)
	}
	return io.ReadAll(io.NewSectionReader(blob, 0, blob.Size()))
}

// isMissing reports whether an error is about an image that is not there.
func isMissing(err error) bool {
	return errors.Is(err, metadata.ErrManifestUnknown) || errors.Is(err, metadata.ErrRepositoryUnknown) ||
		errors.Is(err, blobstore.ErrNotFound)
}
