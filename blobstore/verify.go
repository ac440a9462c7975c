package blobstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/extent"
)

// verifyAttempts is how often an object has to be found damaged in a row: bytes
// can also change on their way here.
const verifyAttempts = 3

// Verify reads the object of a blob where it is kept and says whether it still
// is what it was when it was sealed. The error wraps ErrDamaged where it is not;
// any other error says nothing about the object. What is read is written to
// progress too, if that is not nil.
//
// The object of a blob that is read through others is verified alone: a map by
// its checksum, its length and the blobs it names, a view of frames by what it
// names and by the index there, whose digest it holds. As content is a function
// of that object and of those blobs, and was proven to have its digest when it
// was sealed, such a blob is sound if its object is and the blobs that it needs
// are. Those are verified as themselves, each once, however many maps share
// them.
func (s *Store) Verify(ctx context.Context, r Record, progress io.Writer) (err error) {
	if progress == nil {
		progress = io.Discard
	}
	for range verifyAttempts {
		err = s.verify(ctx, r, progress)
		if !errors.Is(err, ErrDamaged) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("verify blob %s: %w", r.Digest, err)
	}
	return nil
}

// Check compares the length of a blob's object with its record, which takes no
// time. The error wraps ErrDamaged where the object is missing or of another
// length.
func (s *Store) Check(ctx context.Context, r Record) error {
	size, err := s.driver.Stat(ctx, r.Key)
	if err = damaged(err); err == nil && r.Kind == Whole {
		err = wrongSize(r, size)
	}
	if err != nil {
		return fmt.Errorf("check blob %s: %w", r.Digest, err)
	}
	return nil
}

func (s *Store) verify(ctx context.Context, r Record, progress io.Writer) error {
	switch r.Kind {
	case Whole:
		return s.verifyWhole(ctx, r, progress)
	case Mapped, Framed:
		object, err := s.scanObject(ctx, r.Key, progress)
		if err != nil {
			return err
		}
		return s.verifyDerived(ctx, r, object)
	}
	return fmt.Errorf("unknown representation %q", r.Kind)
}

func (s *Store) verifyWhole(ctx context.Context, r Record, progress io.Writer) error {
	if !r.Digest.Algorithm().Available() {
		return fmt.Errorf("digest algorithm %q: %w", r.Digest.Algorithm(), digest.ErrDigestUnsupported)
	}
	size, err := s.driver.Stat(ctx, r.Key)
	if err == nil {
		err = wrongSize(r, size)
	}
	if err != nil {
		return damaged(err)
	}
	h := r.Digest.Algorithm().Hash()
	n, err := s.driver.Scan(ctx, r.Key, io.MultiWriter(h, progress))
	if err != nil {
		return damaged(err)
	}
	if err := wrongSize(r, n); err != nil {
		return err
	}
	if got := digest.NewDigest(r.Digest.Algorithm(), h); got != r.Digest {
		return fmt.Errorf("%w: %w", ErrDamaged, &MismatchError{Want: r.Digest, Got: got})
	}
	return nil
}

func (s *Store) verifyDerived(ctx context.Context, r Record, object []byte) error {
	found, index, err := identify(Object{Key: r.Key, Label: Label{Digest: r.Digest, Kind: r.Kind}}, object)
	if err != nil {
		return err
	}
	if found.Size != r.Size || !slices.Equal(found.Needs, r.Needs) {
		return fmt.Errorf("%w: its object %s is of a blob of %d bytes over %v, expected %d bytes over %v",
			ErrDamaged, r.Key, found.Size, found.Needs, r.Size, r.Needs)
	}
	if r.Kind != Framed {
		return nil
	}
	return s.verifyIndex(ctx, index)
}

func wrongSize(r Record, size int64) error {
	if size == r.Size {
		return nil
	}
	return fmt.Errorf("%w: its object %s has %d bytes, not %d", ErrDamaged, r.Key, size, r.Size)
}

// scanObject reads a small object where it is kept.
func (s *Store) scanObject(ctx context.Context, key string, progress io.Writer) ([]byte, error) {
	var b bytes.Buffer
	if _, err := s.driver.Scan(ctx, key, io.MultiWriter(&b, progress)); err != nil {
		return nil, damaged(err)
	}
	return b.Bytes(), nil
}

// Identify reads what a sealed object stands for: the record of its label's
// blob, which may be verified then. The bytes of an object that is kept whole
// are not read. The error wraps ErrDamaged where the object is of no use.
func (s *Store) Identify(ctx context.Context, o Object) (Record, error) {
	var object []byte
	if o.Label.Kind != Whole {
		var err error
		if object, err = s.scanObject(ctx, o.Key, io.Discard); err != nil {
			return Record{}, fmt.Errorf("identify object %s: %w", o.Key, err)
		}
	}
	r, _, err := identify(o, object)
	if err != nil {
		return r, fmt.Errorf("identify object %s: %w", o.Key, err)
	}
	return r, nil
}

// identify returns the record of an object that was read, and which frames it
// names if it is a view of such. Nothing is taken from a cache.
func identify(o Object, object []byte) (r Record, view framesObject, err error) {
	r = Record{Digest: o.Label.Digest, Kind: o.Label.Kind, Key: o.Key}
	switch r.Kind {
	case Whole:
		r.Size = o.Size
	case Mapped:
		m, err := extent.Decode(object)
		if err != nil {
			return r, view, fmt.Errorf("%w: its object %s is no map: %w", ErrDamaged, o.Key, err)
		}
		r.Size = m.Size()
		r.Needs = needsOf(m)
	case Framed:
		if err := json.Unmarshal(object, &view); err != nil {
			return r, view, fmt.Errorf("%w: its object %s names no frames: %w", ErrDamaged, o.Key, err)
		}
		r.Size, r.Needs = view.Size, []digest.Digest{view.Blob}
	default:
		return r, view, fmt.Errorf("unknown representation %q", r.Kind)
	}
	return r, view, nil
}

// verifyIndex looks whether the index is where an object of a view says.
func (s *Store) verifyIndex(ctx context.Context, view framesObject) error {
	blob, err := s.Open(ctx, view.Blob)
	if err != nil {
		return otherBlob(err)
	}
	defer blob.Close()
	x, err := frame.ReadIndex(blob, view.Index)
	if err == nil && x.ContentSize() != view.Size {
		err = fmt.Errorf("its content has %d bytes, not %d", x.ContentSize(), view.Size)
	}
	if err == nil {
		return nil
	}
	// Either the object names the wrong place, or what is there is damaged.
	if below := s.verifyDeep(ctx, view.Blob); below != nil {
		return otherBlob(below)
	}
	return fmt.Errorf("%w: its object names an index that is not there: %w", ErrDamaged, err)
}

// verifyDeep verifies a blob and all that it is read from.
func (s *Store) verifyDeep(ctx context.Context, d digest.Digest) error {
	r, err := s.index.LookupBlob(ctx, d)
	if err != nil {
		return err
	}
	if err := s.verify(ctx, r, io.Discard); err != nil {
		return err
	}
	for _, n := range r.Needs {
		if err := s.verifyDeep(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// otherBlob hides what an error about a blob says that another one is read from:
// the damage is not the other one's.
func otherBlob(err error) error {
	return fmt.Errorf("the blob it is read from cannot be read: %v", err) //nolint:errorlint // on purpose
}

// broken are the errors of the system that tell of a disk or a file system that
// does not give back what it was given (errno(3)).
var broken = []error{syscall.EIO, syscall.EUCLEAN, syscall.EBADMSG, syscall.ENODATA, syscall.EILSEQ}

// damaged adds ErrDamaged to an error of reading an object that tells of one.
func damaged(err error) error {
	if errors.Is(err, ErrDamaged) {
		return err
	}
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: its object is missing: %w", ErrDamaged, err)
	}
	for _, e := range broken {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: its object cannot be read: %w", ErrDamaged, err)
		}
	}
	return err
}

// suspicious says whether an error of opening or reading a blob is a reason to
// verify it: it may be damaged, or what it is read from.
func suspicious(err error) bool {
	if errors.Is(err, frame.ErrCorrupt) || errors.Is(err, frame.ErrFormat) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	return errors.Is(damaged(err), ErrDamaged)
}

// Watch has f told of blobs that may be damaged, or read from ones that are: where
// opening one fails, or a frame does not have its digest. f must not block. Watch
// is called before the store is used.
func (s *Store) Watch(f func(digest.Digest)) { s.watcher = f }

// Suspect is told of an error of reading a blob. The watcher hears of it if the
// blob may be damaged.
func (s *Store) Suspect(d digest.Digest, err error) {
	if err != nil && s.watcher != nil && suspicious(err) {
		s.watcher(d)
	}
}

// Prove reads the content of a blob, through whatever it is read from, and compares
// its digest. The error wraps ErrDigestMismatch where it is another.
func (s *Store) Prove(ctx context.Context, r Record, progress io.Writer) error {
	if r.Kind == Whole {
		return s.Verify(ctx, r, progress)
	}
	blob, err := s.OpenRecord(ctx, r)
	if err != nil {
		return err
	}
	defer blob.Close()
	var b extent.Builder
	b.Source(extent.Digest(r.Digest), 0, r.Size)
	m, err := b.Build()
	if err != nil {
		return err
	}
	got, err := digestOf(ctx, m, opener{blob}, r.Digest.Algorithm(), progress)
	if err == nil && got != r.Digest {
		err = &MismatchError{Want: r.Digest, Got: got}
	}
	if err != nil {
		return fmt.Errorf("prove blob %s: %w", r.Digest, err)
	}
	return nil
}
