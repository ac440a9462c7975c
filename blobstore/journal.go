package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/extent"
)

// CreateJournal begins an object that is no blob: a journal, kept beside the
// blobs for the day on which the index is lost. It is never looked for by its
// digest.
func (s *Store) CreateJournal(ctx context.Context) (*Writer, error) {
	w, err := s.Create(ctx, digest.Canonical)
	if err != nil {
		return nil, err
	}
	w.kind = Journal
	return w, nil
}

// OpenObject opens an object, once all of it was read and has the digest that
// its label says: a journal, or a blob that is kept whole. The error wraps
// ErrDigestMismatch where it has not.
func (s *Store) OpenObject(ctx context.Context, o Object) (_ extent.Blob, err error) {
	blob, err := s.driver.Open(ctx, o.Key)
	if err != nil {
		return nil, fmt.Errorf("open object %s: %w", o.Key, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open object %s: %w", o.Key, err), blob.Close())
		}
	}()
	got, err := o.Label.Digest.Algorithm().FromReader(io.NewSectionReader(blob, 0, blob.Size()))
	if err != nil {
		return nil, err
	}
	if got != o.Label.Digest {
		return nil, &MismatchError{Want: o.Label.Digest, Got: got}
	}
	return blob, nil
}

// RecordOf returns the record of the blob that an object stands for, from the
// object alone: it is for an index that was lost. The object of a map or a view
// of frames is read, the content of a blob is not.
func (s *Store) RecordOf(ctx context.Context, o Object) (Record, error) {
	r := Record{Digest: o.Label.Digest, Kind: o.Label.Kind, Size: o.Size, Key: o.Key}
	var err error
	switch o.Label.Kind {
	case Whole:
	case Mapped:
		var m *extent.Map
		if m, err = s.loadMap(ctx, r); err == nil {
			r.Size, r.Needs = m.Size(), needsOf(m)
		}
	case Framed:
		var f framesObject
		if f, err = s.loadFrames(ctx, r.Key); err == nil {
			r.Size, r.Needs = f.Size, []digest.Digest{f.Blob}
		}
	default:
		err = fmt.Errorf("its kind is %q: it is no blob", o.Label.Kind)
	}
	if err != nil {
		return Record{}, fmt.Errorf("read what object %s is: %w", o.Key, err)
	}
	return r, nil
}

// needsOf returns the blobs that a map is read from.
func needsOf(m *extent.Map) []digest.Digest {
	var needs []digest.Digest
	for _, d := range m.Digests() {
		needs = append(needs, digest.Digest(d))
	}
	return needs
}
