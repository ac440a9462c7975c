package blobstore

import (
	"context"
	"encoding"
	"fmt"
	"hash"

	"github.com/opencontainers/go-digest"
)

// Writer writes one blob and verifies it: Seal refuses content that does not
// have the digest it was announced with. Every byte that enters a store passes
// through a Writer. It is used by one goroutine.
type Writer struct {
	object    ObjectWriter
	algorithm digest.Algorithm
	hash      hash.Hash
	size      int64
}

// Upload is the state of an unfinished [Writer], to go on from with
// [Store.Resume] in another process or on another node.
type Upload struct {
	Key       string           // of the object
	Offset    int64            // bytes written
	Algorithm digest.Algorithm // of the digest being computed
	HashState []byte           // as of Offset; it may hold bytes of the blob
}

// Write appends p to the blob.
func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.object.Write(p)
	w.hash.Write(p[:n])
	w.size += int64(n)
	return n, err
}

// Size returns the number of bytes written so far.
func (w *Writer) Size() int64 { return w.size }

// Key returns the key of the unsealed object.
func (w *Writer) Key() string { return w.object.Key() }

// Digest returns the digest of what was written so far.
func (w *Writer) Digest() digest.Digest {
	return digest.NewDigest(w.algorithm, w.hash)
}

// State returns what is needed to go on from here with Store.Resume.
func (w *Writer) State() (Upload, error) {
	m, ok := w.hash.(encoding.BinaryMarshaler)
	if !ok {
		return Upload{}, fmt.Errorf("save upload: the state of a %s hash cannot be saved", w.algorithm)
	}
	state, err := m.MarshalBinary()
	if err != nil {
		return Upload{}, fmt.Errorf("save upload: %w", err)
	}
	return Upload{Key: w.object.Key(), Offset: w.size, Algorithm: w.algorithm, HashState: state}, nil
}

// Seal makes the blob durable and returns its record, which the caller commits
// to the index. want is the digest the content must have, of any algorithm the
// writer was created with; an empty want accepts any. On a [MismatchError] the
// object is kept unsealed, for the caller to remove.
func (w *Writer) Seal(ctx context.Context, want digest.Digest) (Record, error) {
	got := w.Digest()
	if want != "" && want != got {
		w.object.Close()
		return Record{}, fmt.Errorf("seal blob: %w", &MismatchError{Want: want, Got: got})
	}
	key, err := w.object.Seal(ctx, Label{Digest: got, Kind: Whole})
	if err != nil {
		return Record{}, fmt.Errorf("seal blob %s: %w", got, err)
	}
	return Record{Digest: got, Size: w.size, Kind: Whole, Key: key}, nil
}

// Close ends writing and keeps what was written, for Store.Resume. After Seal
// it does nothing.
func (w *Writer) Close() error { return w.object.Close() }
