package image

import (
	"context"
	"fmt"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image/cloudlet"
)

// ManifestPath is where in the rootfs the cloudlet manifest stands, from the
// root. The directory it is in is reserved.
const ManifestPath = ".cloudlet/manifest"

// CloudletManifest is what makes an image a cloudlet.
type CloudletManifest = cloudlet.Manifest

// ReadCloudletManifest returns the cloudlet manifest of a rootfs, or an empty one
// where it has none. open gives the blobs that files are extents of.
func ReadCloudletManifest(ctx context.Context, t *Tree, open extent.Opener) (*CloudletManifest, error) {
	data, err := ReadManifestFile(ctx, t, open)
	if err != nil || data == nil {
		return &CloudletManifest{}, err
	}
	return cloudlet.ParseManifest(data)
}

// ReadManifestFile returns the cloudlet manifest of a rootfs as it was written, or
// nil where it has none.
func ReadManifestFile(ctx context.Context, t *Tree, open extent.Opener) ([]byte, error) {
	if t.Lookup(ManifestPath) == nil {
		return nil, nil
	}
	n, err := t.Resolve(ManifestPath)
	if err != nil {
		return nil, fmt.Errorf("read the cloudlet manifest: %w", err)
	}
	data, err := n.Read(ctx, open, cloudlet.MaxManifestSize)
	if err != nil {
		return nil, fmt.Errorf("read the cloudlet manifest: /%s: %w", ManifestPath, err)
	}
	return data, nil
}
