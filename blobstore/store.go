package blobstore

import (
	"context"
	_ "crypto/sha256" // the digest algorithms of OCI: go-digest finds what is linked in
	_ "crypto/sha512"
	"encoding"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore/cache"
	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/extent"
)

// What a store keeps in memory, in bytes.
const (
	frameBudget = 32 << 20 // content of recently read frames
	indexBudget = 32 << 20 // frame indexes
	mapBudget   = 64 << 20 // extent maps
	smallBudget = 1 << 20  // objects that name blobs of frames
)

// Store keeps blobs in a [Driver], by an [Index]. It is safe for concurrent
// use.
type Store struct {
	driver  Driver
	index   Index
	decoder *frame.Decoder
	watcher func(digest.Digest) // or nil

	// Objects never change, so what was read from one can be kept for ever.
	indexes *cache.Cache[digest.Digest, *frame.Index] // by the digest of the encoded index
	maps    *cache.Cache[string, *extent.Map]         // by object key
	framed  *cache.Cache[string, framesObject]        // by object key
}

// New returns a store over a driver and the index of what it holds.
func New(driver Driver, index Index) (*Store, error) {
	decoder, err := frame.NewDecoder(frameBudget)
	if err != nil {
		return nil, fmt.Errorf("open blob store: %w", err)
	}
	return &Store{
		driver:  driver,
		index:   index,
		decoder: decoder,
		indexes: cache.New[digest.Digest, *frame.Index](indexBudget),
		maps:    cache.New[string, *extent.Map](mapBudget),
		framed:  cache.New[string, framesObject](smallBudget),
	}, nil
}

// Driver returns the driver the store was made with.
func (s *Store) Driver() Driver { return s.driver }

// Create begins a blob whose digest is of the given algorithm.
func (s *Store) Create(ctx context.Context, algorithm digest.Algorithm) (*Writer, error) {
	if !algorithm.Available() {
		return nil, fmt.Errorf("create blob: digest algorithm %q: %w", algorithm, digest.ErrDigestUnsupported)
	}
	object, err := s.driver.Create(ctx)
	if err != nil {
		return nil, fmt.Errorf("create blob: %w", err)
	}
	w := &Writer{object: object, kind: Whole, algorithm: algorithm, hash: algorithm.Hash()}
	if err := w.pass(); err != nil {
		return nil, errors.Join(fmt.Errorf("create blob: %w", err), object.Close())
	}
	return w, nil
}

// Write makes a blob of what fill writes, and returns its record, which the caller
// commits to the index. want is the digest that it must have; an empty one accepts
// any. Where something fails, nothing is left, even if ctx was cancelled.
func (s *Store) Write(ctx context.Context, want digest.Digest, fill func(w *Writer) error) (Record, error) {
	algorithm := digest.Canonical
	if want != "" {
		algorithm = want.Algorithm()
	}
	w, err := s.Create(ctx, algorithm)
	if err != nil {
		return Record{}, err
	}
	var sealed Record
	if err = fill(w); err == nil {
		sealed, err = w.Seal(ctx, want)
	}
	if err != nil {
		return Record{}, errors.Join(err, w.Close(), s.Remove(context.WithoutCancel(ctx), w.Key()))
	}
	return sealed, nil
}

// Resume goes on with a blob from a saved state.
func (s *Store) Resume(ctx context.Context, u Upload) (*Writer, error) {
	if !u.Algorithm.Available() {
		return nil, fmt.Errorf("resume blob: digest algorithm %q: %w", u.Algorithm, digest.ErrDigestUnsupported)
	}
	h := u.Algorithm.Hash()
	state, ok := h.(encoding.BinaryUnmarshaler)
	if !ok {
		return nil, fmt.Errorf("resume blob: the state of a %s hash cannot be restored", u.Algorithm)
	}
	if err := state.UnmarshalBinary(u.HashState); err != nil {
		return nil, fmt.Errorf("resume blob: %w", err)
	}
	object, err := s.driver.Resume(ctx, Point{Key: u.Key, Offset: u.Offset, State: u.ObjectState})
	if err != nil {
		return nil, fmt.Errorf("resume blob: %w", err)
	}
	return &Writer{object: object, kind: Whole, algorithm: u.Algorithm, hash: h, size: u.Offset, passed: []passed{{u.Offset, u.HashState}}}, nil
}

// Remove removes an object by key. It is for objects that no record in the
// index refers to: what a failed upload left, or the loser of two writes of one
// digest.
func (s *Store) Remove(ctx context.Context, key string) error { return s.driver.Remove(ctx, key) }

// Stat returns the record of a blob.
func (s *Store) Stat(ctx context.Context, d digest.Digest) (Record, error) {
	return s.index.LookupBlob(ctx, d)
}

// Open opens a blob for reading. The error wraps ErrNotFound where there is
// none.
//
// A blob that is kept whole comes back as the driver opened it, so that a
// driver's fast paths — an *os.File for sendfile(2), say — stay within reach.
func (s *Store) Open(ctx context.Context, d digest.Digest) (extent.Blob, error) {
	r, err := s.index.LookupBlob(ctx, d)
	if err != nil {
		return nil, err
	}
	return s.OpenRecord(ctx, r)
}

// OpenRecord opens the blob of a record, for callers that hold one already. The
// error wraps ErrDamaged where its object is missing or of another length.
func (s *Store) OpenRecord(ctx context.Context, r Record) (_ extent.Blob, err error) {
	defer func() { s.Suspect(r.Digest, err) }()
	var blob extent.Blob
	switch r.Kind {
	case Whole:
		blob, err = s.driver.Open(ctx, r.Key)
		err = damaged(err)
	case Mapped:
		blob, err = s.openMap(ctx, r)
	case Framed:
		blob, err = s.openFrames(ctx, r)
	default:
		err = fmt.Errorf("unknown representation %q", r.Kind)
	}
	if err != nil {
		return nil, fmt.Errorf("open blob %s: %w", r.Digest, err)
	}
	if blob.Size() != r.Size {
		size := blob.Size()
		return nil, errors.Join(blob.Close(),
			fmt.Errorf("open blob %s: %w: its object %s gives %d bytes, not %d", r.Digest, ErrDamaged, r.Key, size, r.Size))
	}
	return blob, nil
}

// OpenBlob opens a blob by an extent's digest: a Store is an [extent.Opener].
func (s *Store) OpenBlob(ctx context.Context, d extent.Digest) (extent.Blob, error) {
	return s.Open(ctx, digest.Digest(d))
}
