package container

import (
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Filesystem is the files in the file of a filesystem. The extents of their
// content name the digest that the file was opened with for what stands in it as
// it is, and [Unpacked] of that for what is compressed.
type Filesystem struct {
	Tree *image.Tree
	// Units is the content that is compressed; nil where there is none.
	Units *Units
}

// Blobs returns what the files of the filesystem are made of: file is what it
// was opened from, as source.
func (f *Filesystem) Blobs(source extent.Digest, file extent.Blob) Blobs {
	return blobsOf(source, file, f.Units)
}

// blobsOf returns the blobs that something read from a file refers to.
func blobsOf(source extent.Digest, file extent.Blob, units *Units) Blobs {
	blobs := Blobs{source: file}
	if units != nil {
		blobs[Unpacked(source)] = units
	}
	return blobs
}
