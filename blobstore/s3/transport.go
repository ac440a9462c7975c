package s3

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"
)

// maxIdleConns is how many connections are kept for the next requests.
const maxIdleConns = 64

// newTransport returns a transport whose connections fail when they stand still
// for idle. There is no other bound: a large part over a slow line is no error.
func newTransport(secure bool, idle time.Duration) (*http.Transport, error) {
	t, err := minio.DefaultTransport(secure)
	if err != nil {
		return nil, err
	}
	t.MaxIdleConnsPerHost = maxIdleConns
	t.ResponseHeaderTimeout = 0 // completing an upload of many parts takes minutes
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &idleConn{conn, idle}, nil
	}
	return t, nil
}

// idleConn puts off its deadline whenever something moves.
type idleConn struct {
	net.Conn
	idle time.Duration
}

func (c *idleConn) Read(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *idleConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
