package volume

import (
	"context"
	"fmt"
	"maps"
	"math"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Filesystem reads the files of a partition. The extents of their content name
// what the map of the disk names, and for what the filesystem holds compressed
// names of its own: the blobs that are returned have both.
//
// What has no reader is an error that wraps [ErrNoFiles] and says what to do.
func (d *Disk) Filesystem(ctx context.Context, p Partition) (*image.Tree, container.Blobs, error) {
	if p.open == nil {
		return nil, nil, fmt.Errorf("%s: %w: %s", p, ErrNoFiles, p.whyNot())
	}
	content, err := extent.Slice(d.content, p.Start, p.Size)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", p, err)
	}
	// It need not be closed: the blobs are not the reader's.
	r := extent.NewReader(ctx, content, d.blobs)
	name := extent.Digest(fmt.Sprintf("partition:%d", p.Number))
	files, err := p.open(r, p.Size, name)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", p, err)
	}
	blobs := maps.Clone(d.blobs)
	blobs[zeros] = zeroBlob{}
	if files.Units != nil {
		blobs[container.Unpacked(name)] = files.Units
	}
	if err := through(files.Tree, name, content, p.Start); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", p, err)
	}
	return files.Tree, blobs, nil
}

// whyNot says why the files of a partition are not read, and what to do.
func (p Partition) whyNot() string {
	if p.Filesystem == "" {
		return "no filesystem that is known is on it"
	}
	return "the files of " + p.Filesystem + " are not read; push the disk as it is, in blocks (cloudlets push), or copy the files out of a machine that has mounted it"
}

// zeros names a blob of nothing but zeros.
const zeros extent.Digest = "zeros"

type zeroBlob struct{}

func (zeroBlob) Size() int64  { return math.MaxInt64 }
func (zeroBlob) Close() error { return nil }

func (zeroBlob) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

// through replaces the extents of a tree that name a partition by what its map
// has there. Files of a disk are ordered by where the disk has them.
//
// What the filesystem says is content stays content, and does not become a hole
// where the container of the disk has one: the same disk gives the same files,
// whatever it is packed in.
func through(tree *image.Tree, partition extent.Digest, m *extent.Map, start int64) error {
	seen := make(map[*image.Inode]bool)
	for path, n := range tree.Walk() {
		if !n.IsRegular() || seen[n] {
			continue
		}
		seen[n] = true
		n.Order += start
		var b extent.Builder
		for _, e := range n.Content {
			if e.Kind != extent.Source || e.Digest != partition {
				b.Extent(e)
				continue
			}
			for _, part := range m.Range(e.Offset, e.Length) {
				if part.Kind == extent.Zero {
					part = extent.Extent{Kind: extent.Source, Length: part.Length, Digest: zeros}
				}
				b.Extent(part)
			}
		}
		content, err := b.Build()
		if err != nil {
			return fmt.Errorf("content of /%s: %w", path, err)
		}
		n.Content = nil
		for _, e := range content.All() {
			n.Content = append(n.Content, e)
		}
	}
	return nil
}
