package nbd

import (
	"context"
	"net"
	"sync"
	"time"
)

// writePiece is how much is written under one deadline, in bytes: more than one
// chunk.
const writePiece = 2 << 20

// conn is one connection of a client.
type conn struct {
	server *Server
	ctx    context.Context // ends with the connection
	net    net.Conn        // what is read and written: raw, or TLS over it
	raw    net.Conn
	peer   Peer

	structured bool    // replies are structured
	noZeroes   bool    // the client wants no padding
	export     *Export // that the client has chosen, or asked about last
	opened     string  // the name that export was opened by
	contexts   string  // the export that allocation was chosen for
	allocation bool    // the metadata context base:allocation was chosen

	mu       sync.Mutex
	stopping bool // nothing is read any more
}

// write writes p, which takes as long as it takes while the client takes some of
// it in time.
func (c *conn) write(p []byte) error {
	for len(p) > 0 {
		k := min(len(p), writePiece)
		if err := c.raw.SetWriteDeadline(time.Now().Add(c.server.config.IdleTimeout)); err != nil {
			return err
		}
		if _, err := c.net.Write(p[:k]); err != nil {
			return err
		}
		p = p[k:]
	}
	return nil
}

// expect gives the client some time to send what comes next in the handshake.
func (c *conn) expect() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return errStopping
	}
	return c.raw.SetReadDeadline(time.Now().Add(c.server.config.IdleTimeout))
}

// await lets the client send its requests when it likes: a disk may rest for
// days.
func (c *conn) await() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return errStopping
	}
	return c.raw.SetReadDeadline(time.Time{})
}

// hangUp ends reading from the client; requests that were read are answered.
func (c *conn) hangUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	_ = c.raw.SetReadDeadline(time.Unix(1, 0)) // A connection that is closed ends, too.
}

// sever ends the connection at once.
func (c *conn) sever() {
	c.hangUp()
	_ = c.raw.Close()
}

// stopped reports whether the server has ended reading.
func (c *conn) stopped() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopping
}

// choose makes an export that of the connection.
func (c *conn) choose(name string, e *Export) {
	c.leave()
	c.opened, c.export = name, e
}

// leave lets go of the export.
func (c *conn) leave() {
	if c.export != nil && c.export.Release != nil {
		c.export.Release()
	}
	c.export = nil
}
