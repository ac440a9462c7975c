package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/cloudlets/cloudlets/client/lazy"
)

// cutOff reports whether an error is that of a connection that has ended too early,
// or of a registry that cannot answer now: what is asked for again may come.
func cutOff(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var answer *AnswerError
	if errors.As(err, &answer) {
		return passes(answer.Status)
	}
	var response *errcode.ErrorResponse
	if errors.As(err, &response) {
		return passes(response.StatusCode)
	}
	var network net.Error
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network)
}

// passes reports whether an answer may be another one soon.
func passes(status int) bool {
	return status == http.StatusTooManyRequests || status >= http.StatusInternalServerError
}

// resumed is the body of a blob that goes on where it was cut off.
type resumed struct {
	ctx  context.Context
	body io.ReadSeeker
	size int64 // of the blob
	off  int64 // of what is read next
	cut  bool  // and has to be asked for
}

// resume returns the body of a blob, which goes on where it is cut off if the
// registry serves parts of blobs.
func resume(ctx context.Context, body io.Reader, size int64) io.Reader {
	if seeker, ok := body.(io.ReadSeeker); ok {
		return &resumed{ctx: ctx, body: seeker, size: size}
	}
	return body
}

// Read reads on.
func (r *resumed) Read(p []byte) (n int, err error) {
	if len(p) == 0 || r.off == r.size {
		return r.body.Read(p) // which says whether there is more than there should be
	}
	err = lazy.Persist(r.ctx, cutOff, func() (int, error) {
		if r.cut {
			if err := r.reopen(); err != nil {
				return 0, fmt.Errorf("go on at byte %d: %w", r.off, err)
			}
			r.cut = false
		}
		if n, err = r.body.Read(p); n > 0 {
			return n, nil
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		r.cut = true
		return 0, err
	})
	r.off += int64(n)
	return n, err
}

// reopen asks for what is left. Seeking to where the body is would do nothing.
func (r *resumed) reopen() error {
	_, err := r.body.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = r.body.Seek(r.off, io.SeekStart)
	}
	return err
}
