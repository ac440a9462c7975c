package container

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/cloudlets/cloudlets/extent"
)

// Disk is the disk in a file.
type Disk struct {
	// Map is the disk. Its extents name the digest that the file was opened with
	// for what stands in the file as it is, [Unpacked] of that for what is
	// compressed, and the digest of a parent for what the file leaves to it.
	Map *extent.Map
	// Units is the content that is compressed; nil where there is none.
	Units *Units
}

// Unpacked returns the name of the content that the file named source holds
// compressed. It is not a digest: nobody but the file's reader can open it.
func Unpacked(source extent.Digest) extent.Digest { return source + "+unpacked" }

// Blobs opens the blobs it has, under the names an extent map gives them. It does
// not close them: their owner does.
type Blobs map[extent.Digest]extent.Blob

// OpenBlob is what [extent.Opener] asks for.
func (b Blobs) OpenBlob(_ context.Context, d extent.Digest) (extent.Blob, error) {
	blob, ok := b[d]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", d, fs.ErrNotExist)
	}
	return kept{blob}, nil
}

// NewReader returns a reader of the disk: file is what it was opened from, as
// source. Parents cannot be read with it.
func (d *Disk) NewReader(ctx context.Context, source extent.Digest, file extent.Blob) *extent.Reader {
	return extent.NewReader(ctx, d.Map, d.Blobs(source, file))
}

// Blobs returns what the map of the disk names, parents excepted.
func (d *Disk) Blobs(source extent.Digest, file extent.Blob) Blobs {
	return blobsOf(source, file, d.Units)
}

// kept is a blob that its readers do not close.
type kept struct{ extent.Blob }

func (kept) Close() error { return nil }
