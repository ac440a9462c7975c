package main

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// chunked is an upload in chunks that goes on after whatever comes between.
type chunked struct {
	*pusher
	content []byte
	digest  digest.Digest
	at      string
	offset  int       // that was acknowledged
	sent    int       // that may have arrived
	touched time.Time // when it was last acknowledged
	ending  bool      // a request was made that ends the upload, or may have
}

// resumptions is how often an upload goes on before its client gives up.
const resumptions = 40

func (p *pusher) pushChunks(content []byte, d digest.Digest) error {
	c := &chunked{pusher: p, content: content, digest: d}
	at, err := p.begin()
	if err != nil {
		return err
	}
	c.at, c.touched = at, time.Now()
	for range resumptions {
		if err = c.send(); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
		ended, lost := c.status()
		if ended {
			return nil
		}
		if lost {
			return err
		}
	}
	return err
}

// send sends what is left.
func (c *chunked) send() error {
	for c.offset < len(c.content) {
		end := min(len(c.content), c.offset+2+c.rand.IntN(len(c.content)))
		c.sent = max(c.sent, end) // what was sent to a dead server may be committed later
		a, err := c.call(http.MethodPatch, c.at, map[string]string{"Content-Range": fmt.Sprintf("%d-%d", c.offset, end-1)},
			bytes.NewReader(c.content[c.offset:end]))
		if err != nil {
			c.ending = c.ending || !c.ledger.strict // a full disk ends an upload
			return err
		}
		if a.status != http.StatusAccepted {
			c.ending = c.ending || c.stale(c.touched)
			if !c.ending && a.status != http.StatusRequestedRangeNotSatisfiable {
				c.ledger.breachf("PATCH %s: %d %s", c.at, a.status, a.body)
			}
			return errUnavailable
		}
		c.offset, c.touched = end, time.Now()
	}
	again := c.ending
	c.ending = true
	a, err := c.call(http.MethodPut, withDigest(c.at, c.digest), nil, nil)
	if err != nil {
		return err
	}
	if a.status != http.StatusCreated {
		if !c.stale(c.touched) && !again {
			c.ledger.breachf("PUT %s: %d %s", c.at, a.status, a.body)
		}
		return errUnavailable
	}
	return nil
}

// status asks how far the upload has come, and says whether it has ended well,
// or is lost.
func (c *chunked) status() (ended, lost bool) {
	a, err := c.call(http.MethodGet, c.at, nil, nil)
	if err != nil {
		return false, false
	}
	if a.status == http.StatusNotFound {
		return c.gone(a)
	}
	last, ok := strings.CutPrefix(a.header.Get("Range"), "0-")
	n, err := strconv.Atoi(last)
	if a.status != http.StatusNoContent || !ok || err != nil {
		c.ledger.breachf("GET %s: %d %v %s", c.at, a.status, a.header, a.body)
		return false, true
	}
	if n > 0 {
		n++
	}
	if n < c.offset || n > c.sent {
		c.ledger.breachf("GET %s: %d bytes are there, of %d %d were acknowledged", c.at, n, c.sent, c.offset)
		return false, true
	}
	c.offset = n
	return false, false
}

// gone looks what became of an upload that is not there any more.
func (c *chunked) gone(a answer) (ended, lost bool) {
	if !c.ending && !c.stale(c.touched) {
		c.ledger.breachf("GET %s: %d %s, although it was acknowledged %v ago", c.at, a.status, a.body, time.Since(c.touched))
		return false, true
	}
	a, err := c.call(http.MethodHead, c.blobPath(c.digest), nil, nil)
	if err != nil {
		return false, false
	}
	return a.status == http.StatusOK, a.status != http.StatusOK
}
