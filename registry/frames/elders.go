package frames

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

const (
	// maxManifests is how many manifests, the newest first, are searched for
	// layers to share with.
	maxManifests = 64
	// maxElders bounds those layers.
	maxElders = 16
)

// elders returns the layers of frames of a repository that new ones may share
// frames with, the newest first.
func (h *Handler) elders(ctx context.Context, repository string) ([]digest.Digest, error) {
	var found []digest.Digest
	seen := make(map[digest.Digest]bool)
	err := h.meta.RecentManifests(ctx, repository, maxManifests, func(m metadata.Manifest) bool {
		for _, d := range framedLayers(m.Raw) {
			if !seen[d] {
				seen[d] = true
				found = append(found, d)
			}
		}
		return len(found) < maxElders
	})
	return found, err
}

// framedLayers returns the layers of a manifest that say that they are made of
// frames. Whether they are shows when their index is read.
func framedLayers(manifest []byte) []digest.Digest {
	if !bytes.Contains(manifest, []byte(api.AnnotationFramesDigest)) {
		return nil
	}
	var m ocispec.Manifest
	if json.Unmarshal(manifest, &m) != nil {
		return nil
	}
	var found []digest.Digest
	for _, l := range m.Layers {
		if l.Annotations[api.AnnotationFramesDigest] != "" {
			found = append(found, l.Digest)
		}
	}
	return found
}

// place is where a frame of a new layer is already.
type place struct {
	blob   digest.Digest // empty: nowhere
	offset int64
}

// find returns, for each frame of an index, where an older layer of the
// repository has it.
func (h *Handler) find(ctx context.Context, repository string, x *frame.Index) ([]place, error) {
	places := make([]place, x.Len())
	wanted := make(map[[32]byte][]int, x.Len())
	for i := range x.Len() {
		d := x.At(i).Digest
		wanted[d] = append(wanted[d], i)
	}
	elders, err := h.elders(ctx, repository)
	if err != nil {
		return nil, err
	}
	for _, elder := range elders {
		if len(wanted) == 0 {
			break
		}
		// The index is looked for at the blob's end: what an annotation says of
		// it was not checked when it was pushed.
		old, _, err := h.blobs.FrameIndex(ctx, elder, frame.Position{})
		if errors.Is(err, frame.ErrFormat) || errors.Is(err, blobstore.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for i := range old.Len() {
			f := old.At(i)
			for _, j := range wanted[f.Digest] {
				places[j] = place{elder, f.Offset}
			}
			delete(wanted, f.Digest)
		}
	}
	return places, nil
}

// offer says which frames have no place.
func offer(x *frame.Index, places []place) api.Offer {
	o := api.Offer{Missing: []api.FrameRange{}}
	for i, p := range places {
		if p.blob != "" {
			continue
		}
		o.Bytes += x.At(i).Size
		if last := len(o.Missing) - 1; last >= 0 && o.Missing[last].First+o.Missing[last].Count == i {
			o.Missing[last].Count++
			continue
		}
		o.Missing = append(o.Missing, api.FrameRange{First: i, Count: 1})
	}
	return o
}
