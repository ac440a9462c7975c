package nbd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
)

// Listen listens on an address: "unix:PATH" or "HOST:PORT". A socket that a server
// which is no more has left at PATH is replaced.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	path, unix := strings.CutPrefix(address, "unix:")
	if path == "" {
		// The kernel would make up a name or a port that nobody knows.
		return nil, fmt.Errorf("listen on %q: expected unix:PATH or HOST:PORT", address)
	}
	if !unix {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", address, err)
		}
		return l, nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if errors.Is(err, syscall.EADDRINUSE) && abandoned(ctx, path) {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("listen on %s: %w", address, err)
		}
		l, err = new(net.ListenConfig).Listen(ctx, "unix", path)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return l, nil
}

// abandoned reports whether a path is a socket that nobody listens on.
func abandoned(ctx context.Context, path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&os.ModeSocket == 0 {
		return false
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// URI returns what clients call an export by that a listener serves, as the NBD
// project's doc/uri.md has it.
func URI(addr net.Addr, secure bool, name string) string {
	scheme := "nbd"
	if secure {
		scheme = "nbds"
	}
	if addr.Network() == "unix" {
		return scheme + "+unix:///" + name + "?socket=" + addr.String()
	}
	return scheme + "://" + addr.String() + "/" + name
}
