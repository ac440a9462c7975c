package metadata

import (
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
)

// Errors that callers decide on. Those about what does not exist wrap
// blobstore.ErrNotFound.
var (
	ErrRepositoryUnknown = fmt.Errorf("repository %w", blobstore.ErrNotFound)
	ErrManifestUnknown   = fmt.Errorf("manifest %w", blobstore.ErrNotFound)
	ErrBlobUnknown       = fmt.Errorf("blob %w", blobstore.ErrNotFound)
	ErrUploadUnknown     = fmt.Errorf("upload %w", blobstore.ErrNotFound)
	ErrRenderUnknown     = fmt.Errorf("render %w", blobstore.ErrNotFound)

	// ErrConflict says that somebody else changed the upload meanwhile.
	ErrConflict = errors.New("changed meanwhile")
	// ErrInUse says that a manifest of the repository refers to the blob.
	ErrInUse = errors.New("in use")
	// ErrLocked says that another process has the database open.
	ErrLocked = errors.New("in use by another process")
	// ErrOtherStore says that the database belongs to other objects.
	ErrOtherStore = errors.New("the database belongs to another blob store")
	// ErrNotEmpty says that a database has something in it already.
	ErrNotEmpty = errors.New("the database is not empty")
	// ErrHeld says that a hold forbids a removal.
	ErrHeld = errors.New("on hold")
	// ErrUnavailable says that the server of the database cannot be reached, or
	// has ended the connection.
	ErrUnavailable = errors.New("the database does not answer")
	// ErrUncertain says that the connection broke while a transaction was being
	// committed: it may have happened, so what it refers to must stay.
	ErrUncertain = errors.New("committed or not, the database did not say")
)

// MissingError says which blobs a manifest refers to that its repository does
// not hold. It wraps [ErrBlobUnknown].
type MissingError struct {
	Digests []digest.Digest
}

func (e *MissingError) Error() string {
	names := make([]string, len(e.Digests))
	for i, d := range e.Digests {
		names[i] = d.String()
	}
	return "the repository does not hold the blobs " + strings.Join(names, ", ")
}

func (e *MissingError) Unwrap() error { return ErrBlobUnknown }

// HeldError says what forbids a change. It wraps [ErrHeld].
type HeldError struct {
	Reference string
	Reason    string
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("%s is on hold (%q): lift the hold first", e.Reference, e.Reason)
}

// Unwrap returns ErrHeld.
func (e *HeldError) Unwrap() error { return ErrHeld }
