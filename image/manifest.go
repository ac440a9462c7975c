package image

import (
	"context"
	"errors"
	"fmt"
	"io"

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
	data, err := readSmallFile(ctx, t, open, ManifestPath)
	if err != nil {
		return nil, fmt.Errorf("read the cloudlet manifest: %w", err)
	}
	return data, nil
}

// readSmallFile returns the content of a regular file of at most cloudlet.MaxManifestSize.
func readSmallFile(ctx context.Context, t *Tree, open extent.Opener, path string) (content []byte, err error) {
	n, err := t.Resolve(path)
	if err != nil {
		return nil, err
	}
	if !n.IsRegular() {
		return nil, fmt.Errorf("/%s is not a regular file", path)
	}
	if n.Size() > cloudlet.MaxManifestSize {
		return nil, fmt.Errorf("/%s is %d bytes long, the limit is %d", path, n.Size(), cloudlet.MaxManifestSize)
	}
	var b extent.Builder
	for _, e := range n.Content {
		b.Extent(e)
	}
	m, err := b.Build()
	if err != nil {
		return nil, fmt.Errorf("/%s: %w", path, err)
	}
	r := extent.NewReader(ctx, m, open)
	defer func() { err = errors.Join(err, r.Close()) }()
	content = make([]byte, m.Size())
	if _, err := r.ReadAt(content, 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("/%s: %w", path, err)
	}
	return content, nil
}
