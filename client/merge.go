package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"

	"github.com/cloudlets/cloudlets/converter/tar"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/cloudlet"
	"github.com/cloudlets/cloudlets/image/diff"
)

// ConflictError says that two versions cannot be merged without a decision.
type ConflictError struct{ Conflicts []diff.Conflict }

// Error lists the conflicts.
func (e *ConflictError) Error() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d conflicts (take one side with --favour ours or --favour theirs, or commit a tree that settles them):", len(e.Conflicts))
	for _, c := range e.Conflicts {
		fmt.Fprintf(&b, "\n  %s", c)
	}
	return b.String()
}

// MergeOptions say how versions are merged.
type MergeOptions struct {
	VersionOptions
	// Favour settles conflicts.
	Favour diff.Side
}

// Merged is the result of a merge.
type Merged struct {
	ocispec.Descriptor
	Conflicts []diff.Conflict `json:"conflicts,omitempty"` // that Favour settled
	// UpToDate says that there was nothing to do, FastForward that the other
	// version came from this one, so that only the tag was moved.
	UpToDate    bool `json:"upToDate,omitempty"`
	FastForward bool `json:"fastForward,omitempty"`
}

// Merge makes the next version of what the repository's tag leads to, with what
// theirs has changed since both were one. theirs is in the same repository. Of
// the content of files only that is fetched that is taken from theirs.
func (r *Repository) Merge(ctx context.Context, theirs digest.Digest, o MergeOptions) (Merged, error) {
	ours, err := r.Resolve(ctx, r.TagOrDigest())
	if err != nil {
		return Merged{}, fmt.Errorf("resolve %s: %w", r.Reference, err)
	}
	base, err := r.MergeBase(ctx, ours.Digest, theirs)
	switch {
	case err != nil:
		return Merged{}, err
	case base == "":
		return Merged{}, fmt.Errorf("merge %s: it has no version in common with %s", theirs, r.Reference)
	case base == theirs:
		return Merged{Descriptor: ours, UpToDate: true}, nil
	case base == ours.Digest:
		d, err := oras.Tag(ctx, r.Repository, theirs.String(), r.TagOrDigest())
		return Merged{Descriptor: d, FastForward: true}, err
	}
	return r.merge(ctx, base, ours.Digest, theirs, []digest.Digest{ours.Digest, theirs}, o)
}

// Revert makes the next version of what the repository's tag leads to, without
// what the version undo changed.
func (r *Repository) Revert(ctx context.Context, undo digest.Digest, o MergeOptions) (Merged, error) {
	ours, err := r.Resolve(ctx, r.TagOrDigest())
	if err != nil {
		return Merged{}, fmt.Errorf("resolve %s: %w", r.Reference, err)
	}
	v, err := r.at(undo.String()).Version(ctx)
	if err != nil {
		return Merged{}, err
	}
	if len(v.Parents) == 0 {
		return Merged{}, fmt.Errorf("revert %s: it is the first version, there is nothing before it", undo)
	}
	return r.merge(ctx, undo, ours.Digest, v.Parents[0], []digest.Digest{ours.Digest}, o)
}

// merge merges three versions and pushes the result as the next of ours.
func (r *Repository) merge(ctx context.Context, base, ours, theirs digest.Digest, parents []digest.Digest, o MergeOptions) (merged Merged, err error) {
	var images []*Image
	defer func() {
		for _, i := range images {
			err = errors.Join(err, i.Close())
		}
	}()
	for _, d := range []digest.Digest{base, ours, theirs} {
		i, err := r.at(d.String()).OpenImage(ctx, OpenOptions{})
		if err != nil {
			return Merged{}, err
		}
		images = append(images, i)
	}
	contents, err := NewContents(ctx, true, images...)
	if err != nil {
		return Merged{}, err
	}
	tree, conflicts, err := diff.Merge(images[0].Tree, images[1].Tree, images[2].Tree, contents.Same, o.Favour)
	if err != nil {
		return Merged{}, err
	}
	if len(conflicts) > 0 && o.Favour == diff.Neither {
		return Merged{}, &ConflictError{conflicts}
	}
	d, err := r.pushOver(ctx, images[1], tree, contents, o.annotations(parents...))
	return Merged{Descriptor: d, Conflicts: conflicts}, err
}

// maxLayers is how many layers an image has before a change is no longer put on
// top of them: engines mount at most 127.
const maxLayers = 64

// pushOver pushes a tree as the image below it with one layer more, or as one of
// a single layer where that would be too many.
func (r *Repository) pushOver(ctx context.Context, below *Image, tree *image.Tree, contents *Contents, annotations map[string]string) (ocispec.Descriptor, error) {
	changes, err := diff.Trees(below.Tree, tree, contents.Same)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	layers, diffIDs := below.Manifest.Layers, below.Config.RootFS.DiffIDs
	plan, err := tar.PlanChanges(ctx, tree, changes)
	if len(layers) >= maxLayers {
		layers, diffIDs = nil, nil
		plan, err = tar.Plan(ctx, tree)
	}
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if err := contents.prefetch(ctx, plan); err != nil {
		return ocispec.Descriptor{}, err
	}
	l, err := r.pushPlan(ctx, plan, contents)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	config := *below.Config
	config.Created = nil
	config.History = nil
	config.RootFS.DiffIDs = append(slices.Clone(diffIDs), l.diffID)
	all := make(map[string]string)
	raw, m, err := cloudletManifestOf(ctx, tree, contents)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if raw != nil {
		if err := annotate(all, m, raw); err != nil {
			return ocispec.Descriptor{}, err
		}
	}
	maps.Copy(all, annotations)
	return r.pushImage(ctx, config, append(slices.Clone(layers), l.descriptor), all)
}

// cloudletManifestOf reads the cloudlet manifest of a tree, or returns nil.
func cloudletManifestOf(ctx context.Context, tree *image.Tree, contents *Contents) ([]byte, *cloudlet.Manifest, error) {
	n := tree.Lookup(image.ManifestPath)
	if n == nil {
		return nil, nil, nil
	}
	m, err := image.ReadCloudletManifest(ctx, tree, contents)
	if err != nil {
		return nil, nil, err
	}
	raw, err := contents.ReadFile(n, cloudlet.MaxManifestSize)
	return raw, m, err
}

// pushPlan pushes a planned tar as a layer.
func (r *Repository) pushPlan(ctx context.Context, plan *extent.Map, open extent.Opener) (*layer, error) {
	rootfs := planned(ctx, plan, open)
	l, err := r.pushLayer(ctx, tarLayer(rootfs))
	return l, errors.Join(err, rootfs.Close())
}

// pushImage pushes an image whose layers the repository holds.
func (r *Repository) pushImage(ctx context.Context, config ocispec.Image, layers []ocispec.Descriptor, annotations map[string]string) (ocispec.Descriptor, error) {
	raw, err := json.Marshal(config)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d, err := r.pushBytes(ctx, ocispec.MediaTypeImageConfig, raw)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("push config: %w", err)
	}
	return r.pushManifest(ctx, ocispec.Manifest{
		Config: d, Layers: layers, Annotations: annotations,
	})
}

// prefetch fetches the frames that a map refers to, in a request for each layer.
func (c *Contents) prefetch(ctx context.Context, m *extent.Map) error {
	wanted := make(map[extent.Digest][]extent.Extent)
	for _, x := range m.All() {
		if x.Kind == extent.Source {
			wanted[x.Digest] = append(wanted[x.Digest], x)
		}
	}
	for d, extents := range wanted {
		for _, i := range c.images {
			l, ok := i.layers[d].(*framedLayer)
			if !ok {
				continue
			}
			if err := l.prefetch(ctx, extents); err != nil {
				return fmt.Errorf("fetch frames of layer %s: %w", l.descriptor.Digest, err)
			}
			break
		}
	}
	return nil
}
