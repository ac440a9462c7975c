package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Contents compares the content of files of several images, and reads as little
// of it as it can. It is used by one goroutine.
type Contents struct {
	ctx    context.Context
	images []*Image
	exact  bool
	hasher *frame.Hasher
}

// NewContents returns a comparison of files of images. Frames of layers are
// compared by their digests. Where those differ, so does the content, unless
// different versions of the encoder have written it: with exact it is then read.
func NewContents(ctx context.Context, exact bool, images ...*Image) (*Contents, error) {
	hasher, err := frame.NewHasher()
	if err != nil {
		return nil, err
	}
	return &Contents{ctx: ctx, images: images, exact: exact, hasher: hasher}, nil
}

var _ extent.Opener = (*Contents)(nil)

// OpenBlob opens a layer of any of the images. Layers are named by digest, so it
// does not matter of which; only one of the images may be a directory or a tar.
func (c *Contents) OpenBlob(ctx context.Context, d extent.Digest) (extent.Blob, error) {
	for _, i := range c.images {
		if _, ok := i.layers[d]; ok {
			return i.OpenBlob(ctx, d)
		}
	}
	return nil, fmt.Errorf("layer %s: %w", d, fs.ErrNotExist)
}

// Same reports whether two regular files of one size have the same content. It
// is a diff.SameContent.
func (c *Contents) Same(a, b *image.Inode) (bool, error) {
	if slices.EqualFunc(a.Content, b.Content, extent.Extent.Equal) {
		return true, nil
	}
	spanA, spanB := c.span(a), c.span(b)
	switch {
	case spanA != nil && spanB != nil:
		if spanA.equal(spanB) {
			return true, nil
		}
	case spanA != nil:
		if equal, err := c.wouldMake(b, spanA); equal || err != nil {
			return equal, err
		}
	case spanB != nil:
		if equal, err := c.wouldMake(a, spanB); equal || err != nil {
			return equal, err
		}
	}
	if (spanA != nil || spanB != nil) && !c.exact {
		return false, nil
	}
	return c.compare(a, b)
}

// frameSpan is the frames that hold a file.
type frameSpan struct {
	index       *frame.Index
	first, last int
}

// span returns the frames that hold a file and nothing else, or nil.
func (c *Contents) span(n *image.Inode) *frameSpan {
	if len(n.Content) != 1 || n.Content[0].Kind != extent.Source {
		return nil
	}
	x := n.Content[0]
	for _, i := range c.images {
		l, ok := i.layers[x.Digest].(*framedLayer)
		if !ok {
			continue
		}
		if first, last, ok := l.index.Span(x.Offset, x.Length); ok {
			return &frameSpan{l.index, first, last}
		}
	}
	return nil
}

func (s *frameSpan) equal(t *frameSpan) bool {
	if s.last-s.first != t.last-t.first {
		return false
	}
	for i := range s.last - s.first + 1 {
		if s.index.At(s.first+i).Digest != t.index.At(t.first+i).Digest {
			return false
		}
	}
	return true
}

// wouldMake reports whether the content of a file that is at hand would make
// certain frames.
func (c *Contents) wouldMake(n *image.Inode, s *frameSpan) (equal bool, err error) {
	err = c.read(n, func(r io.Reader) error {
		equal, err = c.hasher.Equal(r, n.Size(), s.index, s.first, s.last)
		return err
	})
	return equal, err
}

// read passes the content of a file to use.
func (c *Contents) read(n *image.Inode, use func(io.Reader) error) error {
	content, err := c.open(n)
	if err != nil {
		return err
	}
	return errors.Join(use(io.NewSectionReader(content, 0, content.Size())), content.Close())
}

// open opens the content of a file.
func (c *Contents) open(n *image.Inode) (*extent.Reader, error) {
	var b extent.Builder
	for _, x := range n.Content {
		b.Extent(x)
	}
	m, err := b.Build()
	if err != nil {
		return nil, err
	}
	return extent.NewReader(c.ctx, m, c), nil
}

// compare reads two files of one size.
func (c *Contents) compare(a, b *image.Inode) (equal bool, err error) {
	err = c.read(a, func(ra io.Reader) error {
		return c.read(b, func(rb io.Reader) error {
			equal, err = sameBytes(ra, rb)
			return err
		})
	})
	return equal, err
}

func sameBytes(a, b io.Reader) (bool, error) {
	p, q := make([]byte, frame.MaxContent), make([]byte, frame.MaxContent)
	for {
		n, err := io.ReadFull(a, p)
		m, errB := io.ReadFull(b, q)
		if !bytes.Equal(p[:n], q[:m]) {
			return false, nil
		}
		if atEnd(err) && atEnd(errB) {
			return true, nil
		}
		if err == nil {
			err = errB
		}
		if err != nil {
			return false, err
		}
	}
}

func atEnd(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF }

// ReadFile returns the content of a file, which is at most limit bytes long.
func (c *Contents) ReadFile(n *image.Inode, limit int64) (content []byte, err error) {
	if n.Size() > limit {
		return nil, fmt.Errorf("%d bytes, at most %d are read", n.Size(), limit)
	}
	err = c.read(n, func(r io.Reader) error {
		content, err = io.ReadAll(r)
		return err
	})
	return content, err
}
