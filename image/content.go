package image

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cloudlets/cloudlets/extent"
)

// Read returns the content of a regular file of at most limit bytes. open gives
// the blobs that it is extents of.
func (n *Inode) Read(ctx context.Context, open extent.Opener, limit int64) (content []byte, err error) {
	if !n.IsRegular() {
		return nil, errors.New("not a regular file")
	}
	if size := n.Size(); size > limit {
		return nil, fmt.Errorf("%d bytes long, the limit is %d", size, limit)
	}
	m, err := n.Map()
	if err != nil {
		return nil, err
	}
	r := extent.NewReader(ctx, m, open)
	defer func() { err = errors.Join(err, r.Close()) }()
	content = make([]byte, m.Size())
	if _, err := r.ReadAt(content, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return content, nil
}

// Map returns the content of a regular file as a map.
func (n *Inode) Map() (*extent.Map, error) {
	var b extent.Builder
	for _, e := range n.Content {
		b.Extent(e)
	}
	return b.Build()
}

// SetContent makes bytes the content of a regular file. It keeps data.
func (n *Inode) SetContent(data []byte) {
	n.Content = nil
	if len(data) > 0 {
		n.Content = []extent.Extent{{Kind: extent.Inline, Length: int64(len(data)), Data: data}}
	}
}
