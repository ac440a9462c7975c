package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// headConnections is how many connections send HEAD requests: as many as wrk is
// given for the others.
const headConnections = 16

// headRate returns how many HEAD requests a second are answered. wrk waits for
// the body that an answer to HEAD announces, so it cannot be asked.
func headRate(ctx context.Context, address, path string) (float64, error) {
	ask := []byte("HEAD " + path + " HTTP/1.1\r\nHost: " + address + "\r\nAccept: " + mediaTypeManifest + "\r\n\r\n")
	var answered atomic.Int64
	began := time.Now()
	end := began.Add(wrkSeconds * time.Second)
	group, ctx := errgroup.WithContext(ctx)
	for range headConnections {
		group.Go(func() error {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()
			n, err := heads(conn, ask, end)
			answered.Add(n)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return 0, fmt.Errorf("HEAD http://%s%s: %w", address, path, err)
	}
	return float64(answered.Load()) / time.Since(began).Seconds(), nil
}

// heads sends a request again and again until end and returns how often it was
// answered.
func heads(conn net.Conn, ask []byte, end time.Time) (n int64, err error) {
	answer := bufio.NewReader(conn)
	for ; time.Now().Before(end); n++ {
		if _, err := conn.Write(ask); err != nil {
			return n, err
		}
		status, err := answer.ReadString('\n')
		if err == nil && !strings.HasPrefix(status, "HTTP/1.1 200 ") {
			err = fmt.Errorf("answered %q", status)
		}
		for line := []byte(status); err == nil && len(line) > len("\r\n"); {
			line, err = answer.ReadSlice('\n')
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
