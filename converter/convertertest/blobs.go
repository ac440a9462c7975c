package convertertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/cloudlets/cloudlets/extent"
)

// Blobs is an [extent.Opener] that holds its blobs in memory. Make it with
// make or a literal; it must not change while it is read.
type Blobs map[extent.Digest][]byte

// Add keeps content and returns its SHA-256 digest.
func (b Blobs) Add(content []byte) extent.Digest {
	sum := sha256.Sum256(content)
	d := extent.Digest("sha256:" + hex.EncodeToString(sum[:]))
	b[d] = content
	return d
}

// OpenBlob implements [extent.Opener].
func (b Blobs) OpenBlob(_ context.Context, d extent.Digest) (extent.Blob, error) {
	content, ok := b[d]
	if !ok {
		return nil, fmt.Errorf("the test holds no blob %s", d)
	}
	return Blob(content), nil
}

// Blob returns content as a blob.
func Blob(content []byte) extent.Blob { return memoryBlob{bytes.NewReader(content)} }

type memoryBlob struct{ *bytes.Reader }

func (memoryBlob) Close() error { return nil }

// File is an [extent.Opener] of one file, whatever digest it is asked for.
type File struct {
	io.ReaderAt
	Length int64 // bytes
}

// OpenBlob implements [extent.Opener].
func (f File) OpenBlob(context.Context, extent.Digest) (extent.Blob, error) { return f, nil }

// Size returns the length of the file in bytes.
func (f File) Size() int64 { return f.Length }

// Close does nothing: the file belongs to the test.
func (f File) Close() error { return nil }

// Keep adds what write writes, as a spool of a converter does.
func (b Blobs) Keep(_ context.Context, write func(w io.Writer) error) (extent.Digest, int64, error) {
	var content bytes.Buffer
	err := write(&content)
	return b.Add(content.Bytes()), int64(content.Len()), err
}
