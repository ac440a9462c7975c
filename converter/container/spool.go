package container

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/cloudlets/cloudlets/extent"
)

// Spool keeps the bytes of an output that were made for it and that no blob has:
// what was really compressed. The output's map refers to them, as to any blob.
type Spool interface {
	// Keep keeps what write writes, and returns the digest and the size in bytes
	// under which it can be opened from then on.
	Keep(ctx context.Context, write func(w io.Writer) error) (extent.Digest, int64, error)
}

// Files is a spool that keeps bytes in temporary files, which have no name and
// are gone when it is closed. It opens what it keeps.
type Files struct {
	// Dir is where the files are made; empty is the default for such files.
	Dir string

	mu    sync.Mutex
	files map[extent.Digest]*file
}

// file is a file as a blob.
type file struct {
	*os.File
	size int64
}

func (f *file) Size() int64 { return f.size }

// Keep is what [Spool] asks for.
func (s *Files) Keep(ctx context.Context, write func(w io.Writer) error) (_ extent.Digest, size int64, err error) {
	f, err := os.CreateTemp(s.Dir, ".cloudlets-*")
	if err != nil {
		return "", 0, fmt.Errorf("make a temporary file for compressed content: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	if err := os.Remove(f.Name()); err != nil {
		return "", 0, err
	}
	sum := sha256.New()
	counted := &counter{w: io.MultiWriter(f, sum)}
	if err := write(counted); err != nil {
		return "", 0, err
	}
	if err := ctx.Err(); err != nil {
		return "", 0, err
	}
	d := extent.Digest("sha256:" + hex.EncodeToString(sum.Sum(nil)))
	return d, counted.n, s.add(d, &file{f, counted.n})
}

// add takes a file. One with the same content may be there already.
func (s *Files) add(d extent.Digest, f *file) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.files[d]; ok {
		return f.Close()
	}
	if s.files == nil {
		s.files = make(map[extent.Digest]*file)
	}
	s.files[d] = f
	return nil
}

// OpenBlob opens what was kept, as [extent.Opener] asks.
func (s *Files) OpenBlob(ctx context.Context, d extent.Digest) (extent.Blob, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	blobs := make(Blobs, 1)
	if f, ok := s.files[d]; ok {
		blobs[d] = f
	}
	return blobs.OpenBlob(ctx, d)
}

// Close drops all that was kept.
func (s *Files) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	s.files = nil
	return errors.Join(errs...)
}

// counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
