package disk

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// maxBootFile bounds the bootloader files that are read, in bytes. The largest
// of Debian 12, GRUB for UEFI, has 4 MB.
const maxBootFile = 16 << 20

// readInode returns the content of a regular file of at most maxBootFile bytes.
func readInode(ctx context.Context, open extent.Opener, n *image.Inode) (data []byte, err error) {
	if size := n.Size(); size > maxBootFile {
		return nil, fmt.Errorf("%d bytes long, expected at most %d", size, maxBootFile)
	}
	var b extent.Builder
	for _, e := range n.Content {
		b.Extent(e)
	}
	m, err := b.Build()
	if err != nil {
		return nil, err
	}
	r := extent.NewReader(ctx, m, open)
	defer func() { err = errors.Join(err, r.Close()) }()
	data = make([]byte, m.Size())
	if _, err := r.ReadAt(data, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return data, nil
}
