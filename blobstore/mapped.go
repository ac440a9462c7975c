package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/extent"
)

// SealMap stores a blob as an extent map over other blobs of the store. The
// content is read once, from beginning to end, to learn its digest; want is the
// digest it must have, or empty to accept any. The caller commits the record.
//
// progress, if not nil, is written the content as it is read.
//
// m must read from blobs that are kept whole or as frames, not from other maps:
// see Flatten.
func (s *Store) SealMap(ctx context.Context, m *extent.Map, want digest.Digest, progress io.Writer) (Record, error) {
	got, err := digestOf(ctx, m, s, algorithmOf(want), progress)
	if err != nil {
		return Record{}, fmt.Errorf("seal map: %w", err)
	}
	if want != "" && want != got {
		return Record{}, fmt.Errorf("seal map: %w", &MismatchError{Want: want, Got: got})
	}
	key, err := s.putObject(ctx, Label{Digest: got, Kind: Mapped}, m.Encode())
	if err != nil {
		return Record{}, fmt.Errorf("seal map of %s: %w", got, err)
	}
	return Record{Digest: got, Size: m.Size(), Kind: Mapped, Key: key, Needs: needsOf(m)}, nil
}

// algorithmOf returns the algorithm of a wanted digest.
func algorithmOf(want digest.Digest) digest.Algorithm {
	if want == "" {
		return digest.Canonical
	}
	return want.Algorithm()
}

// digestOf reads the content of a map and returns its digest. progress may be
// nil.
func digestOf(ctx context.Context, m *extent.Map, open extent.Opener, algorithm digest.Algorithm, progress io.Writer) (_ digest.Digest, err error) {
	if !algorithm.Available() {
		return "", fmt.Errorf("digest algorithm %q: %w", algorithm, digest.ErrDigestUnsupported)
	}
	r := extent.NewReader(ctx, m, open)
	defer func() { err = errors.Join(err, r.Close()) }()
	h := algorithm.Hash()
	var w io.Writer = h
	if progress != nil {
		w = io.MultiWriter(h, progress)
	}
	if _, err := r.WriteTo(w); err != nil {
		return "", err
	}
	return digest.NewDigest(algorithm, h), nil
}

// putObject stores a small object.
func (s *Store) putObject(ctx context.Context, label Label, content []byte) (key string, err error) {
	w, err := s.driver.Create(ctx)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(content); err != nil {
		return "", errors.Join(err, w.Close(), s.driver.Remove(ctx, w.Key()))
	}
	return w.Seal(ctx, label)
}

// Map returns what a blob is made of: the extent map it is kept as, or one
// extent that is the blob itself. A map made from slices of it reads from blobs
// that are not maps themselves, so maps never stand on maps.
func (s *Store) Map(ctx context.Context, d digest.Digest) (*extent.Map, error) {
	r, err := s.index.LookupBlob(ctx, d)
	if err != nil {
		return nil, err
	}
	if r.Kind == Mapped {
		return s.loadMap(ctx, r)
	}
	var b extent.Builder
	b.Source(extent.Digest(d), 0, r.Size)
	return b.Build()
}

// Flatten returns m with every range of a blob that is kept as a map replaced
// by what that range is made of.
func (s *Store) Flatten(ctx context.Context, m *extent.Map) (*extent.Map, error) {
	parts := make(map[extent.Digest]*extent.Map)
	for _, d := range m.Digests() {
		part, err := s.Map(ctx, digest.Digest(d))
		if err != nil {
			return nil, fmt.Errorf("flatten map: %w", err)
		}
		parts[d] = part
	}
	var b extent.Builder
	for _, e := range m.All() {
		if e.Kind == extent.Source {
			b.Slice(parts[e.Digest], e.Offset, e.Length)
			continue
		}
		b.Extent(e)
	}
	return b.Build()
}

// openMap opens a blob that is kept as a map.
func (s *Store) openMap(ctx context.Context, r Record) (extent.Blob, error) {
	m, err := s.loadMap(ctx, r)
	if err != nil {
		return nil, err
	}
	return extent.NewReader(ctx, m, s), nil
}

// loadMap reads the map that stands for a blob, or takes it from the cache.
func (s *Store) loadMap(ctx context.Context, r Record) (*extent.Map, error) {
	if m, ok := s.maps.Get(r.Key); ok {
		return m, nil
	}
	encoded, err := s.readObject(ctx, r.Key)
	if err != nil {
		return nil, err
	}
	m, err := extent.Decode(encoded)
	if err != nil {
		return nil, fmt.Errorf("%w: object %s: %w", ErrDamaged, r.Key, err)
	}
	s.maps.Add(r.Key, m, m.Memory())
	return m, nil
}

// readObject reads a small object.
func (s *Store) readObject(ctx context.Context, key string) ([]byte, error) {
	object, err := s.driver.Open(ctx, key)
	if err != nil {
		return nil, damaged(err)
	}
	defer object.Close()
	b, err := io.ReadAll(io.NewSectionReader(object, 0, object.Size()))
	if err != nil {
		return nil, fmt.Errorf("read object %s: %w", key, damaged(err))
	}
	return b, nil
}
