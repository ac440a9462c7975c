package blobstore

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/extent"
)

// framesObject is the object of a blob that is the content of another blob's
// frames, as JSON.
type framesObject struct {
	Blob  digest.Digest  `json:"blob"`  // holds the frames
	Size  int64          `json:"size"`  // of the content in bytes
	Index frame.Position `json:"index"` // in the blob
}

// SealFrames stores the content of a blob of frames as a blob of its own, by
// reference. The content is decoded once, to verify that want is its digest; an
// empty want accepts any. The caller commits the record.
func (s *Store) SealFrames(ctx context.Context, blob digest.Digest, pos frame.Position, want digest.Digest) (Record, error) {
	content, err := s.frames(ctx, framesObject{Blob: blob, Index: pos})
	if err != nil {
		return Record{}, fmt.Errorf("seal frames of %s: %w", blob, err)
	}
	defer content.Close()
	// As a map the content is read ahead by several goroutines.
	index, _, err := s.FrameIndex(ctx, blob, pos)
	if err != nil {
		return Record{}, fmt.Errorf("seal frames of %s: %w", blob, err)
	}
	m, err := index.Map(extent.Digest(blob))
	if err != nil {
		return Record{}, fmt.Errorf("seal frames of %s: %w", blob, err)
	}
	got, err := digestOf(ctx, m, opener{content}, algorithmOf(want), nil)
	if err != nil {
		return Record{}, fmt.Errorf("seal frames of %s: %w", blob, err)
	}
	if want != "" && want != got {
		return Record{}, fmt.Errorf("seal frames of %s: %w", blob, &MismatchError{Want: want, Got: got})
	}
	object, err := json.Marshal(framesObject{Blob: blob, Size: content.Size(), Index: pos})
	if err != nil {
		return Record{}, fmt.Errorf("seal frames of %s: %w", blob, err)
	}
	key, err := s.putObject(ctx, Label{Digest: got, Kind: Framed}, object)
	if err != nil {
		return Record{}, fmt.Errorf("seal frames of %s: %w", blob, err)
	}
	return Record{Digest: got, Size: content.Size(), Kind: Framed, Key: key, Needs: []digest.Digest{blob}}, nil
}

// FrameIndex returns the index of a blob of frames, at a known position or, if
// pos is zero, wherever the end of the blob says it is. The error wraps
// frame.ErrFormat where the blob does not hold frames.
func (s *Store) FrameIndex(ctx context.Context, d digest.Digest, pos frame.Position) (*frame.Index, frame.Position, error) {
	if x, ok := s.indexes.Get(pos.Digest); ok {
		return x, pos, nil
	}
	blob, err := s.Open(ctx, d)
	if err != nil {
		return nil, pos, err
	}
	defer blob.Close()
	if pos == (frame.Position{}) {
		if pos, err = frame.Locate(blob, blob.Size()); err != nil {
			return nil, pos, fmt.Errorf("blob %s: %w", d, err)
		}
	}
	x, err := frame.ReadIndex(blob, pos)
	if err != nil {
		return nil, pos, fmt.Errorf("blob %s: %w", d, err)
	}
	s.indexes.Add(pos.Digest, x, x.Memory())
	return x, pos, nil
}

// OpenFrames opens a blob of frames: as it is stored, and the content of its
// frames. Closing content closes both. The error wraps frame.ErrFormat where the
// blob does not hold frames.
func (s *Store) OpenFrames(ctx context.Context, d digest.Digest) (stored, content extent.Blob, index *frame.Index, err error) {
	index, _, err = s.FrameIndex(ctx, d, frame.Position{})
	if err != nil {
		return nil, nil, nil, err
	}
	if stored, err = s.Open(ctx, d); err != nil {
		return nil, nil, nil, err
	}
	return stored, &frameContent{Reader: frame.NewReader(stored, index, s.decoder), blob: stored, store: s, of: d}, index, nil
}

// openFrames opens a blob that is the content of frames.
func (s *Store) openFrames(ctx context.Context, r Record) (extent.Blob, error) {
	object, err := s.loadFrames(ctx, r.Key)
	if err != nil {
		return nil, err
	}
	return s.frames(ctx, object)
}

// loadFrames reads the object that names a blob of frames, or takes it from the
// cache.
func (s *Store) loadFrames(ctx context.Context, key string) (object framesObject, err error) {
	object, ok := s.framed.Get(key)
	if ok {
		return object, nil
	}
	b, err := s.readObject(ctx, key)
	if err != nil {
		return framesObject{}, err
	}
	if err := json.Unmarshal(b, &object); err != nil {
		return framesObject{}, fmt.Errorf("%w: object %s: %w", ErrDamaged, key, err)
	}
	s.framed.Add(key, object, int64(len(b)))
	return object, nil
}

// frames opens the content of frames.
func (s *Store) frames(ctx context.Context, o framesObject) (extent.Blob, error) {
	index, _, err := s.FrameIndex(ctx, o.Blob, o.Index)
	if err != nil {
		return nil, err
	}
	blob, err := s.Open(ctx, o.Blob)
	if err != nil {
		return nil, err
	}
	return &frameContent{Reader: frame.NewReader(blob, index, s.decoder), blob: blob, store: s, of: o.Blob}, nil
}

// frameContent is the open content of a blob of frames.
type frameContent struct {
	*frame.Reader
	blob  extent.Blob
	store *Store
	of    digest.Digest // of blob
}

// ReadAt reads content, and tells of frames that are damaged.
func (c *frameContent) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Reader.ReadAt(p, off)
	if err != nil && err != io.EOF {
		c.store.Suspect(c.of, err)
	}
	return n, err
}

// Close closes the blob that holds the frames.
func (c *frameContent) Close() error { return c.blob.Close() }

// opener opens one blob, whatever the digest.
type opener struct{ blob extent.Blob }

func (o opener) OpenBlob(context.Context, extent.Digest) (extent.Blob, error) {
	return unclosed{o.blob}, nil
}

// unclosed is a blob that somebody else closes.
type unclosed struct{ extent.Blob }

func (unclosed) Close() error { return nil }
