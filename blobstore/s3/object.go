package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/minio/minio-go/v7"
)

const (
	// maxStalls is how often a read is begun again without a byte in between.
	maxStalls = 5
	// copyBuffer is how many bytes of a stream are moved at once.
	copyBuffer = 256 << 10
)

var copyBuffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// object is an open object. Reads at offsets go through the driver's cache; the
// whole is one stream that leaves the cache alone.
type object struct {
	driver *Driver
	ctx    context.Context // bounds reads
	name   name
	size   int64

	mu     sync.Mutex
	next   int64 // the block after the last that was asked for
	window int64 // how many blocks were asked for at once
}

// Size returns the length in bytes.
func (o *object) Size() int64 { return o.size }

// Close gives nothing back: what was read ahead stays in the cache.
func (o *object) Close() error { return nil }

// ReadAt reads, as [io.ReaderAt] asks.
func (o *object) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read object %s at %d: negative offset", o.name, off)
	}
	for n < len(p) && off+int64(n) < o.size {
		at := off + int64(n)
		k, err := o.readBlock(p[n:], at/blockSize, at%blockSize)
		if err != nil {
			return n, fmt.Errorf("read object %s at %d: %w", o.name, at, err)
		}
		n += k
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteTo writes the whole object to w.
func (o *object) WriteTo(w io.Writer) (int64, error) {
	n, err := o.driver.copyRange(o.ctx, w, o.name, 0, o.size)
	if err != nil {
		err = fmt.Errorf("read object %s: %w", o.name, err)
	}
	return n, err
}

// writeError is an error of where bytes go to, which reading again does not mend.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// copyRange copies bytes of an object from off to end.
func (d *Driver) copyRange(ctx context.Context, w io.Writer, n name, off, end int64) (int64, error) {
	return d.copyKey(ctx, w, d.objectKey(n), off, end)
}

// copyKey copies bytes of a key from off to end. A stream that breaks off is
// begun again where it did, as long as it gets on.
func (d *Driver) copyKey(ctx context.Context, w io.Writer, key string, off, end int64) (written int64, err error) {
	for stalls := 0; off < end; {
		k, err := d.copyOnce(ctx, w, key, off, end)
		off += k
		written += k
		if err == nil {
			continue
		}
		var unwritable *writeError
		var refused minio.ErrorResponse // after the client's own retries
		if errors.As(err, &unwritable) || errors.As(err, &refused) || ctx.Err() != nil {
			return written, translate(err)
		}
		if k > 0 {
			stalls = 0
		}
		if stalls++; stalls > maxStalls {
			return written, fmt.Errorf("broke off at %d %d times: %w", off, stalls, err)
		}
	}
	return written, nil
}

// copyOnce copies what one request gives.
func (d *Driver) copyOnce(ctx context.Context, w io.Writer, key string, off, end int64) (written int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var o minio.GetObjectOptions
	if err := o.SetRange(off, end-1); err != nil {
		return 0, err
	}
	body, info, _, err := d.client.GetObject(ctx, d.bucket, key, o)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	if info.Size != end-off {
		return 0, fmt.Errorf("asked for %d bytes at %d and got %d: the store does not do ranges, or the object changed", end-off, off, info.Size)
	}
	buffer := copyBuffers.Get().(*[copyBuffer]byte)
	defer copyBuffers.Put(buffer)
	for off+written < end {
		k, err := body.Read(buffer[:min(copyBuffer, end-off-written)])
		if _, err := w.Write(buffer[:k]); err != nil {
			return written, &writeError{err}
		}
		written += int64(k)
		if err != nil && off+written < end {
			return written, fmt.Errorf("after %d bytes: %w", written, unexpected(err))
		}
	}
	return written, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
