package image

import (
	"fmt"
	"io"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image/tarball"
)

// MaxFiles bounds the entries of an image, in all its layers together. It keeps
// a tree under about a GiB of memory.
const MaxFiles = 2 << 20

// Layer is one layer of an image, open for reading.
type Layer struct {
	Digest extent.Digest // of the uncompressed tar: the diff ID of the OCI image config
	Tar    io.ReaderAt   // the uncompressed tar
	Size   int64         // of Tar, in bytes
}

// Changes is what one layer does to the tree of the layers below it. It is
// everything that a layer says but the content of its files, so it can be kept
// and merged again without reading the layer.
type Changes struct {
	Digest  extent.Digest // the blob that the entries' content is in
	Entries []*tarball.Entry
}

// Add appends an entry. It fails where there would be more than MaxFiles.
func (c *Changes) Add(e *tarball.Entry) error {
	if len(c.Entries) >= MaxFiles {
		return fmt.Errorf("more than %d entries", MaxFiles)
	}
	c.Entries = append(c.Entries, e)
	return nil
}

// ReadChanges reads the headers of a layer's tar.
func ReadChanges(l Layer) (*Changes, error) {
	c := &Changes{Digest: l.Digest}
	r := tarball.NewReaderAt(l.Tar, l.Size)
	for {
		e, err := r.Next()
		if err == io.EOF {
			return c, nil
		}
		if err == nil {
			err = c.Add(e)
		}
		if err != nil {
			return nil, fmt.Errorf("read layer %s: %w", l.Digest, err)
		}
	}
}
