package nbd

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// request is one request of the transmission phase.
type request struct {
	flags  uint16
	kind   command
	cookie uint64
	off    int64
	n      int64
}

// readAhead is how much of the requests to come is read at once, in bytes.
const readAhead = 16 << 10

// transmit serves requests until the client disconnects, section "Transmission".
// cancel ends what waits for content, once nobody waits for it.
func (c *conn) transmit(cancel context.CancelFunc) error {
	c.allocation = c.allocation && c.contexts == c.opened
	t := &transmission{
		conn:   c,
		budget: newBudget(maxBuffered),
		places: make(chan struct{}, maxRequests),
		out:    outbox{write: c.write, buffers: &c.server.buffers},
	}
	err := t.requests(bufio.NewReaderSize(c.net, readAhead))
	// What was asked for is answered, unless nobody is there to hear it.
	if err != nil && !errors.Is(err, errStopping) && !c.stopped() {
		cancel()
	}
	t.fail(t.out.flush())
	t.running.Wait()
	return errors.Join(err, t.failure())
}

// transmission is what requests of one connection share.
type transmission struct {
	*conn
	budget  *budget
	places  chan struct{} // taken by requests under way
	running sync.WaitGroup
	out     outbox // a message is one reply, or one chunk of one

	scratch [small]byte // for replies that are made while requests are read

	failing sync.Mutex
	failed  error // the first failure to write
}

// requests reads requests and starts to serve each.
func (t *transmission) requests(r *bufio.Reader) error {
	if err := t.await(); err != nil {
		return err
	}
	for {
		if r.Buffered() < requestSize { // reading may wait
			if err := t.out.flush(); err != nil {
				return err
			}
		}
		q, err := readRequest(r)
		if err != nil {
			return err
		}
		if q.kind == cmdDisconnect {
			return nil
		}
		if q.kind == cmdWrite {
			if err := skip(r, q.n); err != nil {
				return err
			}
		}
		if t.readNow(q) {
			continue
		}
		if err := t.out.flush(); err != nil {
			return err
		}
		select {
		case t.places <- struct{}{}:
		case <-t.ctx.Done():
			return t.ctx.Err()
		}
		t.running.Add(1)
		go func() {
			defer func() {
				<-t.places
				t.running.Done()
			}()
			t.fail(t.serve(q))
		}()
	}
}

// readRequest reads a request without what it carries.
func readRequest(r io.Reader) (request, error) {
	var b [requestSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return request{}, err
	}
	if magic := binary.BigEndian.Uint32(b[:]); magic != magicRequest {
		return request{}, fmt.Errorf("%w: a request begins with %#x, expected %#x", errProtocol, magic, magicRequest)
	}
	return request{
		flags:  binary.BigEndian.Uint16(b[4:]),
		kind:   command(binary.BigEndian.Uint16(b[6:])),
		cookie: binary.BigEndian.Uint64(b[8:]),
		off:    int64(binary.BigEndian.Uint64(b[16:])), // beyond 2⁶³ is negative, and out of range
		n:      int64(binary.BigEndian.Uint32(b[24:])),
	}, nil
}

// skip passes over what a write carries.
func skip(r *bufio.Reader, n int64) error {
	if n > maxRead {
		return fmt.Errorf("%w: a write carries %d bytes, at most %d are read", errProtocol, n, maxRead)
	}
	_, err := io.CopyN(io.Discard, r, n)
	return err
}

// fail keeps the first failure to answer, and ends the connection: what the
// client has heard of an answer cannot be taken back.
func (t *transmission) fail(err error) {
	if err == nil {
		return
	}
	t.failing.Lock()
	defer t.failing.Unlock()
	if t.failed == nil {
		t.failed = err
		_ = t.raw.Close()
	}
}

func (t *transmission) failure() error {
	t.failing.Lock()
	defer t.failing.Unlock()
	return t.failed
}

// serve answers one request. The error is one of the connection.
func (t *transmission) serve(q request) error {
	switch q.kind {
	case cmdRead:
		if e := t.checkRead(q); e != errnoOK {
			return t.replyError(q, e)
		}
		return t.read(q)
	case cmdBlockStatus:
		if !t.allocation || q.flags&^cmdFlagReqOne != 0 || q.n == 0 || !t.within(q) {
			return t.replyError(q, errnoInvalid)
		}
		return t.replyStatus(q)
	case cmdCache:
		if q.flags != 0 || !t.within(q) {
			return t.replyError(q, errnoInvalid)
		}
		return t.cache(q)
	case cmdWrite, cmdTrim, cmdWriteZeroes:
		return t.replyError(q, errnoPerm)
	}
	return t.replyError(q, errnoInvalid)
}

// checkRead returns what is wrong with a read.
func (t *transmission) checkRead(q request) errno {
	switch {
	case q.flags&^cmdFlagDF != 0, q.flags != 0 && !t.structured, !t.within(q):
		return errnoInvalid
	case q.n > maxRead:
		return errnoOverflow
	}
	return errnoOK
}

// within reports whether a request is about bytes that the export has.
func (t *transmission) within(q request) bool {
	size := t.export.Map.Size()
	return q.off >= 0 && q.off <= size && q.n <= size-q.off
}

// fetch waits until content is at hand.
func (t *transmission) fetch(q request) error {
	if t.export.Fetch == nil {
		return nil
	}
	return t.export.Fetch(t.ctx, q.off, q.n)
}

// cache fetches content that the client will ask for.
func (t *transmission) cache(q request) error {
	if err := t.fetch(q); err != nil {
		return t.unreadable(q, err)
	}
	return t.replyDone(q)
}

// unreadable answers a request whose content could not be read.
func (t *transmission) unreadable(q request, err error) error {
	if t.ctx.Err() == nil {
		t.server.config.Log.Error("content could not be read", "export", t.export.Name, "offset", q.off, "length", q.n, "error", err)
	}
	return t.replyError(q, errnoIO)
}
