package s3

import (
	"encoding/json"
	"fmt"

	"github.com/oklog/ulid/v2"

	"github.com/cloudlets/cloudlets/blobstore"
)

// state is what a blobstore.Point of an unsealed object says, as JSON.
type state struct {
	Upload *upload `json:"upload,omitempty"`
	Parts  []part  `json:"parts,omitempty"`
	Pieces []piece `json:"pieces,omitempty"` // what follows the parts
	Stale  []name  `json:"stale,omitempty"`  // pieces of the point before this one
}

// upload is a multipart upload.
type upload struct {
	Name     name   `json:"name"`
	ID       string `json:"id"`        // the store's
	PartSize int64  `json:"part_size"` // in bytes, of parts that no Save has cut short
}

// part is a part of a multipart upload. Its number is its place, from 1.
type part struct {
	Size int64  `json:"size"` // in bytes
	ETag string `json:"etag"`
	CRC  string `json:"crc32c,omitempty"` // in base64, as the store wants it again
}

// piece is an object that holds bytes which are too few for a part.
type piece struct {
	Name name  `json:"name"`
	Size int64 `json:"size"` // in bytes
}

// size returns how many bytes come before the point.
func (s *state) size() int64 {
	n := s.tail()
	for _, p := range s.Parts {
		n += p.Size
	}
	return n
}

// tail returns how many bytes are in pieces.
func (s *state) tail() (n int64) {
	for _, p := range s.Pieces {
		n += p.Size
	}
	return n
}

// point returns the point that the state describes.
func (s *state) point(id ulid.ULID) (blobstore.Point, error) {
	p := blobstore.Point{Key: unsealedKey(id), Offset: s.size()}
	if p.Offset == 0 {
		return p, nil
	}
	var err error
	p.State, err = json.Marshal(s)
	return p, err
}

// parsePoint is the inverse of state.point. A point that does not add up is
// ErrNotFound: what it tells of does not exist.
func parsePoint(p blobstore.Point) (id ulid.ULID, s state, err error) {
	if id, err = parseUnsealedKey(p.Key); err != nil {
		return id, s, err
	}
	if len(p.State) > 0 {
		if err := json.Unmarshal(p.State, &s); err != nil {
			return id, s, fmt.Errorf("state of object %s: %w: %w", p.Key, blobstore.ErrNotFound, err)
		}
	}
	if err := s.check(id); err != nil {
		return id, s, fmt.Errorf("state of object %s: %w: %w", p.Key, blobstore.ErrNotFound, err)
	}
	if s.size() != p.Offset {
		return id, s, fmt.Errorf("state of object %s: %w: it is of %d bytes, not of %d", p.Key, blobstore.ErrNotFound, s.size(), p.Offset)
	}
	return id, s, nil
}

// check says whether a state may be one of the object.
func (s *state) check(id ulid.ULID) error {
	names := append(make([]name, 0, 1+len(s.Pieces)+len(s.Stale)), s.Stale...)
	for _, p := range s.Pieces {
		names = append(names, p.Name)
	}
	if s.Upload != nil {
		names = append(names, s.Upload.Name)
		if s.Upload.PartSize < minPart || s.Upload.PartSize > maxPartSize {
			return fmt.Errorf("its parts are of %d bytes", s.Upload.PartSize)
		}
	}
	if s.tail() < 0 || s.tail() > maxPartSize {
		return fmt.Errorf("its pieces are of %d bytes", s.tail())
	}
	if len(s.Parts) > 0 && s.Upload == nil {
		return fmt.Errorf("it has parts and no upload")
	}
	for _, n := range names {
		if _, of, err := parseName(string(n)); err != nil || of != id {
			return fmt.Errorf("%q is not of this object", n)
		}
	}
	return nil
}
