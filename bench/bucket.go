package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

const gatewayAddress = "127.0.0.1:5081"

// toBucket measures how many bytes one push moves between the registry and an
// S3 server.
func toBucket(ctx context.Context, s settings) (err error) {
	const key, secret, bucket = "cloudlets", "cloudlets-secret", "blobs"
	data := filepath.Join(s.work, "gateway")
	if err := os.MkdirAll(filepath.Join(data, bucket), 0o755); err != nil {
		return err
	}
	gateway, err := startProcess(ctx, s, "versitygw", gatewayAddress, []string{"ROOT_ACCESS_KEY_ID=" + key, "ROOT_SECRET_ACCESS_KEY=" + secret},
		"versitygw", "--port", gatewayAddress, "--quiet", "posix", data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, gateway.stop()) }()
	between, err := startCounter(ctx, gatewayAddress)
	if err != nil {
		return err
	}
	defer between.close()
	s.env = append(s.env, "AWS_ACCESS_KEY_ID="+key, "AWS_SECRET_ACCESS_KEY="+secret)
	srv, err := startServer(ctx, s, "bucket", "--s3-endpoint", "http://"+between.address(), "--s3-bucket", bucket)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.stop()) }()
	digest, err := digestOfFile(s.tar)
	if err != nil {
		return err
	}
	info, err := os.Stat(s.tar)
	if err != nil {
		return err
	}
	before := between.bytes.Load()
	if err := srv.uploadFile(ctx, repository, digest, s.tar); err != nil {
		return err
	}
	moved := between.bytes.Load() - before
	more := 100 * float64(moved-info.Size()) / float64(info.Size())
	fmt.Printf("| push of %.0f MB to S3: bytes moved, both ways, beyond the blob's own | the blob | %.3f MB | %.0f MB | %.2f %% | ≤ 1 %% |\n",
		float64(info.Size())/1e6, float64(moved-info.Size())/1e6, float64(info.Size())/1e6, more)
	return nil
}

// counter passes connections on to a server and counts their bytes, headers and
// all, both ways.
type counter struct {
	listener net.Listener
	target   string
	bytes    atomic.Int64
	running  sync.WaitGroup
}

func startCounter(ctx context.Context, target string) (*counter, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &counter{listener: listener, target: target}
	c.running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			c.running.Go(func() { c.pass(ctx, client) })
		}
	})
	return c, nil
}

func (c *counter) address() string { return c.listener.Addr().String() }

func (c *counter) close() { _ = c.listener.Close() }

// pass passes one connection on, until either side ends it.
func (c *counter) pass(ctx context.Context, client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := new(net.Dialer).DialContext(ctx, "tcp", c.target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		go func() {
			_, _ = io.Copy(io.MultiWriter(way[1], c), way[0]) // the ends see what is wrong
			done <- struct{}{}
		}()
	}
	<-done
}

// Write counts.
func (c *counter) Write(p []byte) (int, error) {
	c.bytes.Add(int64(len(p)))
	return len(p), nil
}
