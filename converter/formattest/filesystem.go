package formattest

import (
	"context"
	"errors"
	"io"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// ReadFiles reads the start of every file of a filesystem that was opened from
// file as [Source].
func ReadFiles(fs *container.Filesystem, file []byte) error {
	blobs := fs.Blobs(Source, convertertest.Blob(file))
	var errs []error
	for _, n := range fs.Tree.Walk() {
		errs = append(errs, readStart(n, blobs))
	}
	return errors.Join(errs...)
}

// readStart reads the start of a file.
func readStart(n *image.Inode, open extent.Opener) error {
	m, err := n.Map()
	if err != nil {
		return err
	}
	r := extent.NewReader(context.Background(), m, open)
	_, err = r.ReadAt(make([]byte, min(m.Size(), 16<<10)), 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, r.Close())
}
