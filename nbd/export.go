package nbd

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"

	"github.com/cloudlets/cloudlets/extent"
)

// ErrUnknownExport is what [Exports] return for a name that is none, or none
// that the client may know of.
var ErrUnknownExport = errors.New("there is no such export")

// ErrUnservable is wrapped by errors about an export that is there and cannot be
// served, for a reason that the client may know.
var ErrUnservable = errors.New("it cannot be served")

// Export is a disk that is served.
type Export struct {
	// Name is its canonical name, and Description a line about it, or empty.
	Name, Description string
	// Map says where the disk has holes, and how long it is.
	Map *extent.Map
	// Content reads the disk, of which Map is the map. It is read by many
	// goroutines at once.
	Content io.ReaderAt
	// Fetch returns once the n bytes at off can be read without waiting, as far
	// as that can be had. It is called without any buffer being held. nil says
	// that everything is at hand.
	Fetch func(ctx context.Context, off, n int64) error
	// Release is called once for every time that the export was opened; it may
	// be nil.
	Release func()
}

// Peer is who asks for an export.
type Peer struct {
	Addr net.Addr
	TLS  *tls.ConnectionState // nil without TLS
}

// Listed is an export in a list.
type Listed struct {
	Name, Description string
}

// Exports open disks by name. They are used by many goroutines at once.
type Exports interface {
	// Open returns the export of a name, which the client chose: at most 4096
	// bytes, any bytes. The empty name is that of the default export. An error
	// that wraps ErrUnknownExport says that there is none; one that wraps
	// ErrUnservable is told to the client.
	Open(ctx context.Context, peer Peer, name string) (*Export, error)
	// List returns exports to choose from. It need not be all of them.
	List(ctx context.Context, peer Peer) ([]Listed, error)
}
