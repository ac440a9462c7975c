package frame

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/cloudlets/cloudlets/extent"
)

const (
	// MaxZeros is the most content that one frame of nothing but zeros stands
	// for, in bytes: the most that readers of the zstd seekable format accept.
	MaxZeros = 1 << 30

	// Of a zstd frame (RFC 8878, section 3.1.1) of zeros: its magic number, a
	// descriptor for a content size of four bytes, a window of MaxContent, then
	// the content size, and for each MaxContent of it a block of one repeated
	// byte.
	zstdMagic      = 0xFD2FB528
	zeroDescriptor = 2 << 6
	zeroWindow     = 7 << 3 // 2^(10+7) bytes
	zeroHeader     = 4 + 1 + 1 + 4
	zeroBlock      = 3 + 1 // header and byte
	blockLast      = 1
	blockRepeated  = 1 << 1
	blockSizeShift = 3
)

// zeroSize returns the length of the frame of n zeros.
func zeroSize(n int64) int64 { return zeroHeader + (n+MaxContent-1)/MaxContent*zeroBlock }

// appendZeros appends the frame of n zeros, 0 < n <= MaxZeros. There is one for
// each n, so that a frame is known to hold zeros by its digest.
func appendZeros(b []byte, n int64) []byte {
	b = binary.LittleEndian.AppendUint32(b, zstdMagic)
	b = append(b, zeroDescriptor, zeroWindow)
	b = binary.LittleEndian.AppendUint32(b, uint32(n))
	for n > 0 {
		block := min(n, MaxContent)
		n -= block
		header := uint32(block)<<blockSizeShift | blockRepeated
		if n == 0 {
			header |= blockLast
		}
		b = append(b, byte(header), byte(header>>8), byte(header>>16), 0)
	}
	return b
}

// zeroDigest returns the SHA-256 of the frame of n zeros.
func zeroDigest(n int64) [sha256.Size]byte {
	return sha256.Sum256(appendZeros(make([]byte, 0, zeroSize(n)), n))
}

// holdsZeros reports whether a frame is known to hold nothing but zeros: none
// other holds more than MaxContent.
func (f Frame) holdsZeros() bool {
	return f.ContentSize > MaxContent || f.Size == zeroSize(f.ContentSize) && f.Digest == zeroDigest(f.ContentSize)
}

// Map returns the content of a blob of frames as an extent map: zeros where its
// frames are known to hold nothing else, and the rest by reference to the
// content, which has the digest d.
func (x *Index) Map(d extent.Digest) (*extent.Map, error) {
	var b extent.Builder
	for i := range x.Len() {
		f := x.At(i)
		if f.holdsZeros() {
			b.Zero(f.ContentSize)
			continue
		}
		b.Source(d, f.ContentOffset, f.ContentSize)
	}
	return b.Build()
}
