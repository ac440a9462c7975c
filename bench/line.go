package main

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// line is a proxy that stands for a long, narrow line to a server: it holds every
// byte back, and passes only so many a second, in each direction. A new connection
// waits for a round trip. It needs neither root nor netem; what it does not have
// is TCP's slow start, which would slow small requests on new connections more.
type line struct {
	listener net.Listener
	target   string
	delay    time.Duration // one way
	received atomic.Int64  // bytes from the server
	up, down lane
	running  sync.WaitGroup
}

// lane is one direction of a line.
type lane struct {
	rate int64 // bytes a second

	mu   sync.Mutex
	free time.Time // when the last byte has left
}

// maxQueue is how far a lane's queue reaches before it takes no more.
const maxQueue = 50 * time.Millisecond

// newLine opens a line to a server with a round trip time and a rate in bits a
// second.
func newLine(ctx context.Context, target string, roundTrip time.Duration, bits int64) (*line, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &line{listener: l, target: target, delay: roundTrip / 2, up: lane{rate: bits / 8}, down: lane{rate: bits / 8}}
	p.running.Go(func() { p.accept(ctx) })
	return p, nil
}

func (p *line) address() string { return p.listener.Addr().String() }

func (p *line) stop() error {
	err := p.listener.Close()
	p.running.Wait()
	return err
}

func (p *line) accept(ctx context.Context) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() {
			defer func() { _ = client.Close() }()
			time.Sleep(2 * p.delay)
			server, err := new(net.Dialer).DialContext(ctx, "tcp", p.target)
			if err != nil {
				return
			}
			defer func() { _ = server.Close() }()
			var ways sync.WaitGroup
			ways.Go(func() { p.carry(server, client, &p.up, nil) })
			ways.Go(func() { p.carry(client, server, &p.down, &p.received) })
			ways.Wait()
		})
	}
}

// parcel is what was read at once, and when it arrives.
type parcel struct {
	data []byte
	due  time.Time
}

// carry carries one direction of a connection until it ends.
func (p *line) carry(to, from net.Conn, way *lane, count *atomic.Int64) {
	parcels := make(chan parcel, 1024)
	var writing sync.WaitGroup
	writing.Go(func() {
		var failed error
		for q := range parcels {
			time.Sleep(time.Until(q.due))
			if failed == nil {
				_, failed = to.Write(q.data)
			}
		}
		if tcp, ok := to.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
	})
	for {
		buffer := make([]byte, 16<<10)
		n, err := from.Read(buffer)
		if n > 0 {
			if count != nil {
				count.Add(int64(n))
			}
			parcels <- parcel{buffer[:n], way.leave(n).Add(p.delay)}
		}
		if errors.Is(err, io.EOF) || err != nil {
			break
		}
	}
	close(parcels)
	writing.Wait()
}

// leave waits for a place in the queue and returns when n bytes have left it.
func (w *lane) leave(n int) time.Time {
	w.mu.Lock()
	now := time.Now()
	if w.free.Before(now) {
		w.free = now
	}
	w.free = w.free.Add(time.Duration(int64(n) * int64(time.Second) / w.rate))
	left := w.free
	w.mu.Unlock()
	time.Sleep(time.Until(left.Add(-maxQueue)))
	return left
}
