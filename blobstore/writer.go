package blobstore

import (
	"context"
	"encoding"
	"errors"
	"fmt"
	"hash"
	"slices"

	"github.com/opencontainers/go-digest"
)

// Writer writes one blob and verifies it: Seal refuses content that does not
// have the digest it was announced with. Every byte that enters a store passes
// through a Writer. It is used by one goroutine.
type Writer struct {
	object    ObjectWriter
	kind      Kind // of the label
	algorithm digest.Algorithm
	hash      hash.Hash
	size      int64
	passed    []passed // boundaries of the object that Saved may still return
}

// passed is the state of the hash at a boundary.
type passed struct {
	offset int64
	hash   []byte
}

// Upload is the state of an unfinished [Writer], to go on from with
// [Store.Resume] in another process or on another node.
type Upload struct {
	Key         string           // of the object
	Offset      int64            // bytes written
	Algorithm   digest.Algorithm // of the digest being computed
	HashState   []byte           // as of Offset; it may hold bytes of the blob
	ObjectState []byte           // the driver's: Point.State
}

// Write appends p to the blob.
func (w *Writer) Write(p []byte) (written int, err error) {
	for len(p) > 0 {
		chunk := p
		boundary := w.object.Boundary()
		if left := boundary - w.size; left > 0 && left < int64(len(p)) {
			chunk = p[:left]
		}
		n, err := w.object.Write(chunk)
		w.hash.Write(chunk[:n])
		w.size += int64(n)
		written += n
		if err != nil {
			return written, err
		}
		if w.size == boundary {
			if err := w.pass(); err != nil {
				return written, err
			}
		}
		p = p[n:]
	}
	return written, nil
}

// pass remembers the state of the hash at a boundary, and forgets those that
// Saved does not return any more.
func (w *Writer) pass() error {
	state, err := w.hashState()
	if err != nil {
		return err
	}
	saved := w.object.Saved().Offset
	w.passed = slices.DeleteFunc(w.passed, func(b passed) bool { return b.offset < saved })
	w.passed = append(w.passed, passed{w.size, state})
	return nil
}

// Expect says how long the blob will be: see [ObjectWriter].
func (w *Writer) Expect(size int64, final bool) error { return w.object.Expect(size, final) }

// Size returns the number of bytes written so far.
func (w *Writer) Size() int64 { return w.size }

// Key returns the key of the unsealed object.
func (w *Writer) Key() string { return w.object.Key() }

// Digest returns the digest of what was written so far.
func (w *Writer) Digest() digest.Digest {
	return digest.NewDigest(w.algorithm, w.hash)
}

// Save keeps what was written so far, and returns what is needed to go on from
// here with Store.Resume.
func (w *Writer) Save(ctx context.Context) (Upload, error) {
	state, err := w.hashState()
	if err != nil {
		return Upload{}, err
	}
	p, err := w.object.Save(ctx)
	if err != nil {
		return Upload{}, fmt.Errorf("save upload: %w", err)
	}
	w.passed = append(w.passed[:0], passed{w.size, state})
	return w.upload(p, state), nil
}

// Saved returns what is needed to go on from the last place that needs no Save:
// most often one a little before the end of what was written. It takes no time.
func (w *Writer) Saved() (Upload, error) {
	p := w.object.Saved()
	if p.Offset == w.size {
		state, err := w.hashState()
		return w.upload(p, state), err
	}
	i := slices.IndexFunc(w.passed, func(b passed) bool { return b.offset == p.Offset })
	if i < 0 {
		return Upload{}, fmt.Errorf("save upload: the driver saved object %s at %d, which it did not announce", p.Key, p.Offset)
	}
	w.passed = w.passed[i:]
	return w.upload(p, w.passed[0].hash), nil
}

func (w *Writer) upload(p Point, hashState []byte) Upload {
	return Upload{Key: p.Key, Offset: p.Offset, Algorithm: w.algorithm, HashState: hashState, ObjectState: p.State}
}

func (w *Writer) hashState() ([]byte, error) {
	m, ok := w.hash.(encoding.BinaryMarshaler)
	if !ok {
		return nil, fmt.Errorf("save upload: the state of a %s hash cannot be saved", w.algorithm)
	}
	state, err := m.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("save upload: %w", err)
	}
	return state, nil
}

// Seal makes the blob durable and returns its record, which the caller commits
// to the index. want is the digest the content must have, of any algorithm the
// writer was created with; an empty want accepts any. On a [MismatchError] the
// object is kept unsealed, for the caller to remove.
func (w *Writer) Seal(ctx context.Context, want digest.Digest) (Record, error) {
	got := w.Digest()
	if want != "" && want != got {
		return Record{}, errors.Join(fmt.Errorf("seal blob: %w", &MismatchError{Want: want, Got: got}), w.object.Close())
	}
	key, err := w.object.Seal(ctx, Label{Digest: got, Kind: w.kind})
	if err != nil {
		return Record{}, fmt.Errorf("seal blob %s: %w", got, err)
	}
	return Record{Digest: got, Size: w.size, Kind: w.kind, Key: key}, nil
}

// Close ends writing and keeps what was saved, for Store.Resume. After Seal
// it does nothing.
func (w *Writer) Close() error { return w.object.Close() }
