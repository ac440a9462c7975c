package blobstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
)

// Errors that callers decide on.
var (
	// ErrNotFound says that there is no blob of a digest, or no object of a key.
	ErrNotFound = errors.New("not found")
	// ErrDigestMismatch says that content does not have the digest it should.
	ErrDigestMismatch = errors.New("digest mismatch")
	// ErrDamaged says that a blob is not what it was when it was stored: its
	// object is gone, or is too short, or has other bytes, or cannot be read from
	// its disk. An error of reading that does not wrap it leaves that open.
	ErrDamaged = errors.New("damaged")
	// ErrTooLarge says that a driver cannot store an object of that size.
	ErrTooLarge = errors.New("too large to store")
	// ErrBusy says that a driver has no room to take more just now. What was
	// saved is kept: trying again later may go on from there.
	ErrBusy = errors.New("busy")
)

// Kind is how a blob is kept.
type Kind string

// The three representations of a blob. They are also part of an object's name,
// so that an index can be rebuilt from the objects alone.
const (
	Whole  Kind = "whole"  // the object is the blob
	Mapped Kind = "map"    // the object is an encoded extent.Map over other blobs
	Framed Kind = "frames" // the object names the blob of frames whose content this is
)

// Journal is the kind of objects that are no blobs and in no [Record]: what the
// index is rebuilt from that the objects of blobs do not say.
const Journal Kind = "journal"

// Record says how one blob is kept.
type Record struct {
	Digest digest.Digest
	Size   int64 // of the blob in bytes
	Kind   Kind
	Key    string          // of the object
	Needs  []digest.Digest // the blobs that this one is read from; none for Whole
}

// Index says which blobs exist. It is the authority: a store never looks at the
// objects of its driver to find out.
type Index interface {
	// LookupBlob returns the record of a blob, or an error that wraps
	// ErrNotFound.
	LookupBlob(ctx context.Context, d digest.Digest) (Record, error)
}

// MismatchError says that content has another digest than expected. It wraps
// ErrDigestMismatch.
type MismatchError struct {
	Want, Got digest.Digest
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("the content has the digest %s, not %s", e.Got, e.Want)
}

func (e *MismatchError) Unwrap() error { return ErrDigestMismatch }
