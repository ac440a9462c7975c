package blobstore

import (
	"context"
	"io"
	"iter"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/extent"
)

// Driver keeps objects: byte strings under keys that the driver chooses, each
// unique for ever and written once.
//
// A driver knows nothing of digests beyond the label it stores beside the
// bytes. Every driver passes the suite in blobstore/blobtest.
type Driver interface {
	// Create begins an object.
	Create(ctx context.Context) (ObjectWriter, error)

	// Resume goes on writing an object that was begun and not sealed, at
	// offset; whatever had been written beyond is discarded. The error wraps
	// ErrNotFound where the key is unknown or fewer than offset bytes survive.
	Resume(ctx context.Context, key string, offset int64) (ObjectWriter, error)

	// Open opens a sealed object. The error wraps ErrNotFound where there is
	// none. The object stays readable until closed, even when it is removed.
	Open(ctx context.Context, key string) (extent.Blob, error)

	// Remove removes an object, sealed or not. There being none is no error.
	Remove(ctx context.Context, key string) error

	// List returns every object, sealed or not, in no particular order.
	List(ctx context.Context) iter.Seq2[Object, error]
}

// ObjectWriter writes one object. It is used by one goroutine.
type ObjectWriter interface {
	io.Writer

	// Key names the object until it is sealed, for Driver.Resume and Remove.
	Key() string

	// Seal makes the object durable — it survives a power cut once Seal
	// returns — and visible to Open under the key that is returned. The writer
	// is closed, whatever the outcome.
	Seal(ctx context.Context, label Label) (key string, err error)

	// Close ends writing and keeps what was written, for Driver.Resume. After
	// Seal it does nothing.
	Close() error
}

// Label says what an object is, durably beside its bytes.
type Label struct {
	Digest digest.Digest
	Kind   Kind
}

// Object is what Driver.List knows of an object.
type Object struct {
	Key    string
	Label  Label // zero while the object is not sealed
	Size   int64 // in bytes
	Sealed bool
}
