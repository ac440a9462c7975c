package extent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// Blob is the content of one blob, open for reading. ReadAt may be called by
// several goroutines at once.
type Blob interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Opener opens blobs by digest. It must return the same content for the same
// digest for ever, and an error that says so when it does not hold the blob.
type Opener interface {
	OpenBlob(ctx context.Context, d Digest) (Blob, error)
}

// Reader reads the content of a map, fetching source extents from an [Opener].
// Blobs are opened when first read and closed by Close. A Reader may be used by
// several goroutines at once, as far as the blobs it opens may.
type Reader struct {
	m     *Map
	open  Opener
	ctx   context.Context
	blobs []lazyBlob // one for each of m.digests
}

type lazyBlob struct {
	once   sync.Once
	blob   Blob
	err    error
	opened atomic.Pointer[Blob] // blob, for who does not wait until it is open
}

// NewReader returns a Reader of m. ctx bounds every read the Reader makes. open
// may be nil where m has no source extents.
func NewReader(ctx context.Context, m *Map, open Opener) *Reader {
	return &Reader{m: m, open: open, ctx: ctx, blobs: make([]lazyBlob, len(m.digests))}
}

// Size returns the length of the content in bytes.
func (r *Reader) Size() int64 { return r.m.size }

// Map returns the map being read.
func (r *Reader) Map() *Map { return r.m }

// ReadAt reads len(p) bytes at off, as [io.ReaderAt] asks.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read at %d: %w", off, ErrRange)
	}
	n := 0
	i := r.m.Find(off)
	for n < len(p) && i < len(r.m.runs) {
		at := off + int64(n)
		k := int(min(r.m.end(i)-at, int64(len(p)-n)))
		if err := r.readRun(p[n:n+k], i, at-r.m.starts[i]); err != nil {
			return n, err
		}
		n += k
		i++
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// readRun fills p with the bytes at off within extent i.
func (r *Reader) readRun(p []byte, i int, off int64) error {
	run := r.m.runs[i]
	switch run.blob {
	case blobZero:
		clear(p)
		return nil
	case blobInline:
		copy(p, r.m.inline[run.off+off:])
		return nil
	}
	if err := r.ctx.Err(); err != nil {
		return err
	}
	id := run.blob - firstBlob
	blob, err := r.blob(id)
	if err != nil {
		return err
	}
	n, err := blob.ReadAt(p, run.off+off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = fmt.Errorf("it ends at %d, the map expects at least %d bytes: %w",
			blob.Size(), run.off+off+int64(len(p)), io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("read blob %s at %d: %w", r.m.digests[id], run.off+off, err)
}

func (r *Reader) blob(id uint32) (Blob, error) {
	l := &r.blobs[id]
	l.once.Do(func() {
		if r.open == nil {
			l.err = errors.New("the reader has no opener")
		} else {
			l.blob, l.err = r.open.OpenBlob(r.ctx, r.m.digests[id])
		}
		if l.err != nil {
			l.err = fmt.Errorf("open blob %s: %w", r.m.digests[id], l.err)
			return
		}
		l.opened.Store(&l.blob)
	})
	return l.blob, l.err
}

// Close closes the blobs that were opened. No read may be under way.
func (r *Reader) Close() error {
	var errs []error
	for i := range r.blobs {
		l := &r.blobs[i]
		l.once.Do(func() { l.err = errors.New("the reader is closed") })
		if l.blob != nil {
			l.opened.Store(nil)
			errs = append(errs, l.blob.Close())
			l.blob, l.err = nil, errors.New("the reader is closed")
		}
	}
	return errors.Join(errs...)
}
