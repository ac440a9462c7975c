package frame

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/cloudlets/cloudlets/blobstore/cache"
)

// ErrCorrupt is wrapped by errors about frames whose bytes are not what the
// index says.
var ErrCorrupt = errors.New("corrupt frame")

// Decoder decodes frames and remembers the content of recent ones, of any
// number of blobs. It is safe for concurrent use.
type Decoder struct {
	zstd   *zstd.Decoder
	recent *cache.Cache[[sha256.Size]byte, []byte] // content by frame digest
}

// NewDecoder returns a decoder that keeps up to budget bytes of content.
func NewDecoder(budget int64) (*Decoder, error) {
	z, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(0), // as many as there are cores
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(MaxContent),
		zstd.IgnoreChecksum(true), // the SHA-256 was checked
	)
	if err != nil {
		return nil, fmt.Errorf("make zstd decoder: %w", err)
	}
	return &Decoder{zstd: z, recent: cache.New[[sha256.Size]byte, []byte](budget)}, nil
}

// Reader reads the content of a blob of frames at any offset. It is safe for
// concurrent use.
type Reader struct {
	blob  io.ReaderAt
	index *Index
	dec   *Decoder
}

// NewReader returns a reader of the content of blob, whose frames index
// describes.
func NewReader(blob io.ReaderAt, index *Index, dec *Decoder) *Reader {
	return &Reader{blob: blob, index: index, dec: dec}
}

// Size returns the length of the content in bytes.
func (r *Reader) Size() int64 { return r.index.ContentSize() }

// ReadAt reads content, as [io.ReaderAt] asks. It returns nothing of a frame
// that does not have its digest; the error then wraps ErrCorrupt.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read content at %d: negative offset", off)
	}
	n := 0
	for i := r.index.Find(off); n < len(p) && i < r.index.Len(); i++ {
		f := r.index.At(i)
		if f.ContentSize > MaxContent { // zeros: the index was checked
			run := min(int64(len(p)-n), f.ContentOffset+f.ContentSize-off-int64(n))
			clear(p[n : n+int(run)])
			n += int(run)
			continue
		}
		content, err := r.content(f, p[n:])
		if err != nil {
			return n, fmt.Errorf("read frame %d at %d: %w", i, f.Offset, err)
		}
		n += copy(p[n:], content[off+int64(n)-f.ContentOffset:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// ReadNow fills p with the content at off where all of its frames were decoded a
// short time ago, as [extent.NowReader] asks.
func (r *Reader) ReadNow(p []byte, off int64) bool {
	if off < 0 || off > r.Size() || int64(len(p)) > r.Size()-off {
		return false
	}
	for i := r.index.Find(off); len(p) > 0; i++ {
		f := r.index.At(i)
		n := int(min(int64(len(p)), f.ContentOffset+f.ContentSize-off))
		if f.ContentSize > MaxContent {
			clear(p[:n])
		} else {
			content, ok := r.dec.recent.Get(f.Digest)
			if !ok {
				return false
			}
			copy(p[:n], content[off-f.ContentOffset:])
		}
		p, off = p[n:], off+int64(n)
	}
	return true
}

// content returns what a frame holds. It decodes into space where that is
// large enough, so that long sequential reads neither copy nor fill the cache.
func (r *Reader) content(f Frame, space []byte) ([]byte, error) {
	if content, ok := r.dec.recent.Get(f.Digest); ok {
		return content, nil
	}
	stored := make([]byte, f.Size)
	if _, err := r.blob.ReadAt(stored, f.Offset); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	keep := int64(len(space)) < f.ContentSize
	if keep {
		space = make([]byte, f.ContentSize)
	}
	content, err := r.dec.Decode(f, stored, space)
	if err == nil && keep {
		r.dec.recent.Add(f.Digest, content, f.ContentSize)
	}
	return content, err
}

// Decode returns what a stored frame holds, in space, which has room for
// f.ContentSize bytes. The error wraps ErrCorrupt where the frame does not have
// the digest, or its content not the size, that f says.
func (d *Decoder) Decode(f Frame, stored, space []byte) ([]byte, error) {
	if sha256.Sum256(stored) != f.Digest {
		return nil, fmt.Errorf("%w: it does not have the SHA-256 %x", ErrCorrupt, f.Digest)
	}
	content, err := d.zstd.DecodeAll(stored, space[:0:f.ContentSize])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if int64(len(content)) != f.ContentSize {
		return nil, fmt.Errorf("%w: it holds %d bytes of content, not %d", ErrCorrupt, len(content), f.ContentSize)
	}
	return content, nil
}
