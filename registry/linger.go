package registry

import (
	"io"
	"net/http"
	"time"
)

const (
	// serverReads is how many bytes of a body net/http reads after its request
	// was answered (maxPostHandlerReadBytes), in order to go on with the
	// connection. More is for us to deal with.
	serverReads = 256 << 10
	// lingerTime is how long the rest of a body is read after its request was
	// refused, lingerIdle how long it may stand still.
	lingerTime = 30 * time.Second
	lingerIdle = 5 * time.Second
)

// requestBody is the body of a request that may be refused while it is being
// sent. A connection that is closed over unread bytes is reset, which throws
// away the answer before its client has seen it: so the rest is read for a
// while after the answer.
type requestBody struct {
	io.ReadCloser
	ended bool
}

// watchBody returns a request with a body that tells whether it was read to its
// end; nil if net/http copes with what is left.
func watchBody(r *http.Request) (*http.Request, *requestBody) {
	if r.ProtoMajor != 1 || r.ContentLength >= 0 && r.ContentLength <= serverReads {
		return r, nil
	}
	body := &requestBody{ReadCloser: r.Body}
	r = r.WithContext(r.Context()) // handlers must not change the one they were given
	r.Body = body
	return r, body
}

func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || err != nil
	return n, err
}

// part has the answer that is about to be written sent at once, and the
// connection ended after it. It does nothing where the body has ended.
func (b *requestBody) part(w http.ResponseWriter) {
	if b == nil || b.ended {
		return
	}
	// Otherwise net/http would read before it writes.
	_ = http.NewResponseController(w).EnableFullDuplex()
	w.Header().Set("Connection", "close")
}

// linger reads the rest of the body of a request that was answered, until its
// client has seen the answer and stops.
func (b *requestBody) linger(w http.ResponseWriter) {
	if b == nil || b.ended {
		return
	}
	control := http.NewResponseController(w)
	if control.Flush() != nil {
		return
	}
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	end := time.Now().Add(lingerTime)
	for now := time.Now(); now.Before(end); now = time.Now() {
		if control.SetReadDeadline(now.Add(lingerIdle)) != nil {
			return
		}
		if _, err := b.Read(buffer[:]); err != nil {
			return
		}
	}
}
