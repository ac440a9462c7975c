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

	// Resume goes on writing an object that was begun and not sealed, from a
	// point that a writer of it has returned, in this process or in another;
	// whatever was written beyond is discarded. The error wraps ErrNotFound
	// where the point is not one, or not all of what was before it survives.
	//
	// Two writers must not go on with one object at the same time. Within one
	// process the caller sees to that. A driver that several nodes share makes
	// sure that what one of two such writers writes never gets into what the
	// other seals, though it may make the sealing fail; and the caller lets only
	// one of them record its points, by the version of the upload's row.
	//
	// That an object was removed may come out only when it is sealed.
	Resume(ctx context.Context, p Point) (ObjectWriter, error)

	// Open opens a sealed object; ctx also bounds the reads. The error wraps
	// ErrNotFound where there is none. When an open object is removed, reads
	// either go on or fail with an error that wraps ErrNotFound.
	Open(ctx context.Context, key string) (extent.Blob, error)

	// Stat returns the length in bytes of a sealed object, as the place where it
	// is kept says now, whatever is remembered of it. The error wraps ErrNotFound
	// where there is none.
	Stat(ctx context.Context, key string) (int64, error)

	// Scan writes all of a sealed object to w, as it is where it is kept: past
	// every cache, as far as that can be done, and leaving nothing in one. It
	// gives way to other work. The error wraps ErrNotFound where there is no
	// object; an error of w is returned as it is, or wrapped.
	Scan(ctx context.Context, key string, w io.Writer) (int64, error)

	// Remove removes an object, sealed or not. There being none is no error.
	// Removing by the key of an unsealed object leaves alone what was sealed.
	Remove(ctx context.Context, key string) error

	// List returns every sealed object, and every unsealed one of which
	// anything is kept, in no particular order.
	List(ctx context.Context) iter.Seq2[Object, error]
}

// Point is a place in an unsealed object from which writing can go on.
type Point struct {
	Key    string // of the object
	Offset int64  // bytes before the point
	State  []byte // what else the driver needs to know; nobody else looks at it
}

// ObjectWriter writes one object. It is used by one goroutine.
type ObjectWriter interface {
	io.Writer

	// Key names the object until it is sealed, for Driver.Remove. It does not
	// change.
	Key() string

	// Expect says that the object will hold at least size bytes and, if final,
	// no more: what the length of a request tells. It is a hint for how to
	// write, of use before the first Write. The error wraps ErrTooLarge where
	// that is more than the driver can store.
	Expect(size int64, final bool) error

	// Save keeps what was written so far, and returns the point reached.
	Save(ctx context.Context) (Point, error)

	// Saved returns the last point reached that needs no Save: one that was, or
	// one that the driver reaches by itself while writing.
	Saved() Point

	// Boundary returns the offset, beyond what was written, of the next point
	// that Saved may return without a Save. It does not pass before the next
	// Write. A driver that has no need for boundaries, since any offset is a
	// point, returns what was written so far.
	Boundary() int64

	// Seal makes the object durable — it survives a power cut once Seal
	// returns — and visible to Open under the key that is returned. The writer
	// is closed, whatever the outcome.
	Seal(ctx context.Context, label Label) (key string, err error)

	// Close ends writing and keeps what was saved, for Driver.Resume. After
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
	Size   int64 // in bytes; of an unsealed object, at most what was written
	Sealed bool
}
