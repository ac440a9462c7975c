package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image/tarball"
)

// Rootfs is a rootfs to push, as a tar stream. It must be closed.
type Rootfs struct {
	io.Reader
	closers []io.Closer
}

// Close ends reading.
func (r *Rootfs) Close() error {
	var errs []error
	for _, c := range r.closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// OpenRootfs opens a rootfs by path: a tar, as it is or compressed with gzip,
// zstd, xz or bzip2; a directory; or "-", a tar from stdin. warn is told of what
// a directory has and a tar cannot hold.
func (c *Client) OpenRootfs(ctx context.Context, path string, stdin io.Reader, warn func(path, what string)) (*Rootfs, error) {
	if path == "-" {
		return decompressed(stdin, c.progress.Step("push", -1))
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return c.openDir(ctx, path, warn), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := decompressed(f, c.progress.Step("push", info.Size()))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	r.closers = append(r.closers, f)
	return r, nil
}

// decompressed returns the tar in a stream that may be compressed. step is told
// how much of the stream was read.
func decompressed(stream io.Reader, step Step) (*Rootfs, error) {
	tar, _, err := tarball.Decompress(&stepReader{r: stream, step: step})
	if err != nil {
		step.End(err)
		return nil, err
	}
	return &Rootfs{Reader: tar, closers: []io.Closer{tar}}, nil
}

// openDir returns a tar of a directory.
func (c *Client) openDir(ctx context.Context, path string, warn func(path, what string)) *Rootfs {
	step := c.progress.Step("push", -1)
	read, write := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		write.CloseWithError(tarball.FromDir(ctx, path, write, warn))
	}()
	return &Rootfs{
		Reader:  &stepReader{r: read, step: step},
		closers: []io.Closer{read, waiter(done)},
	}
}

// planned returns a tar that was planned.
func planned(ctx context.Context, plan *extent.Map, open extent.Opener) *Rootfs {
	content := extent.NewReader(ctx, plan, open)
	read, write := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := content.WriteTo(write)
		write.CloseWithError(err)
	}()
	return &Rootfs{Reader: read, closers: []io.Closer{read, waiter(done), content}}
}

// waiter waits for a goroutine when it is closed.
type waiter <-chan struct{}

func (w waiter) Close() error {
	<-w
	return nil
}

// stepReader reports how much was read, and ends its step where the stream ends.
type stepReader struct {
	r    io.Reader
	step Step
	n    int64
}

func (s *stepReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	switch err {
	case nil:
		s.step.Set(s.n)
	case io.EOF:
		s.step.Set(s.n)
		s.step.End(nil)
	default:
		s.step.End(err)
	}
	return n, err
}
