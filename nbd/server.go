package nbd

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// ErrServerClosed is returned by [Server.Serve] after a shutdown.
var ErrServerClosed = errors.New("the NBD server is closed")

// errStopping ends a connection because the server ends.
var errStopping = errors.New("the server is stopping")

// Config is what a server needs. Only Exports must be set.
type Config struct {
	Exports Exports
	// TLS, if not nil, is required of every client (section "TLS versions", mode
	// FORCEDTLS).
	TLS *tls.Config
	// IdleTimeout is how long a client may take for its next step in the
	// handshake, and to take some of what is written to it; 0 is a minute. A
	// client that asks for nothing is not idle: disks rest.
	IdleTimeout time.Duration
	// MaxConnections is how many clients are served at a time; 0 is 1024.
	MaxConnections int
	Log            *slog.Logger // nil for silence
}

// Server serves disks. Make it with [New].
type Server struct {
	config  Config
	buffers buffers
	ctx     context.Context // of everything that is done for clients
	cancel  context.CancelFunc

	mu        sync.Mutex
	closed    bool
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	running   sync.WaitGroup
}

// New returns a server.
func New(c Config) *Server {
	c.IdleTimeout = cmp.Or(c.IdleTimeout, time.Minute)
	c.MaxConnections = cmp.Or(c.MaxConnections, 1024)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{config: c, listeners: make(map[net.Listener]struct{}), conns: make(map[*conn]struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Serve serves the clients of a listener, which it closes, until the listener
// fails or the server is shut down: then the error is ErrServerClosed.
func (s *Server) Serve(l net.Listener) error {
	defer func() { _ = l.Close() }()
	if !s.listen(l) {
		return ErrServerClosed
	}
	for {
		accepted, err := l.Accept()
		if s.ctx.Err() != nil || s.isClosed() {
			if err == nil {
				_ = accepted.Close()
			}
			return ErrServerClosed
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accept connections on %s: %w", l.Addr(), err)
		}
		if err != nil { // such as too many open files, which passes
			s.config.Log.Warn("a connection was not accepted", "error", err)
			time.Sleep(50 * time.Millisecond)
			continue
		}
		s.start(accepted)
	}
}

func (s *Server) listen(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners[l] = struct{}{}
	return !s.closed
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// start serves a connection, unless there are too many.
func (s *Server) start(accepted net.Conn) {
	ctx, cancel := context.WithCancel(s.ctx)
	c := &conn{server: s, ctx: ctx, net: accepted, raw: accepted, peer: Peer{Addr: accepted.RemoteAddr()}}
	s.mu.Lock()
	full := len(s.conns) >= s.config.MaxConnections
	if s.closed || full {
		s.mu.Unlock()
		cancel()
		_ = accepted.Close()
		if full {
			s.config.Log.Warn("a client was turned away", "client", accepted.RemoteAddr(), "connections", s.config.MaxConnections)
		}
		return
	}
	s.conns[c] = struct{}{}
	s.running.Add(1)
	s.mu.Unlock()
	go func() {
		defer s.running.Done()
		defer cancel()
		defer s.forget(c)
		s.serve(c, cancel)
	}()
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// serve serves one connection to its end.
func (s *Server) serve(c *conn, cancel context.CancelFunc) {
	defer c.leave()
	defer func() { _ = c.net.Close() }() // the TLS connection, where there is one
	chosen, err := c.handshake()
	if chosen && err == nil {
		s.config.Log.Debug("a disk is attached", "export", c.export.Name, "client", c.peer.Addr)
		err = c.transmit(cancel)
	}
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, errStopping), c.stopped(), s.ctx.Err() != nil:
	case errors.Is(err, os.ErrDeadlineExceeded), isReset(err):
		s.config.Log.Debug("a client is gone", "client", c.peer.Addr, "error", err)
	default:
		s.config.Log.Warn("a client was hung up on", "client", c.peer.Addr, "error", err)
	}
}

// isReset reports whether an error is that the other side is not there.
func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) || errors.Is(err, io.ErrUnexpectedEOF)
}

// Shutdown accepts and reads nothing more, lets requests under way be answered,
// and returns when all connections have ended. When ctx is done first, they are
// cut, and the error is that of ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	for l := range s.listeners {
		_ = l.Close()
	}
	for c := range s.conns {
		c.hangUp()
	}
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.running.Wait()
	}()
	select {
	case <-ended:
		s.cancel()
		return nil
	case <-ctx.Done():
	}
	s.cut()
	<-ended
	return ctx.Err()
}

// cut ends all connections at once.
func (s *Server) cut() {
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.sever()
	}
}
