package frame

import (
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Hasher tells which frames content would make, without keeping them. It is used
// by one goroutine.
type Hasher struct {
	enc             *zstd.Encoder
	content, stored []byte
}

// NewHasher returns a Hasher.
func NewHasher() (*Hasher, error) {
	enc, err := newEncoder()
	if err != nil {
		return nil, err
	}
	return &Hasher{enc: enc, content: make([]byte, MaxContent)}, nil
}

// Equal reports whether the n bytes of r would make the frames first to last of
// an index, which hold as many bytes. Where they would not, they still may be
// the same content: another version of the encoder may have written it.
func (h *Hasher) Equal(r io.Reader, n int64, x *Index, first, last int) (bool, error) {
	for i := first; i <= last; i++ {
		f := x.At(i)
		if f.ContentSize > MaxContent {
			return false, nil
		}
		content := h.content[:f.ContentSize]
		if _, err := io.ReadFull(r, content); err != nil {
			return false, fmt.Errorf("read content to compare: %w", err)
		}
		h.stored = h.enc.EncodeAll(content, h.stored[:0])
		if sha256.Sum256(h.stored) != f.Digest {
			return false, nil
		}
		n -= f.ContentSize
	}
	return n == 0, nil
}
