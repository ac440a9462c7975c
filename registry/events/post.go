package events

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cloudlets/cloudlets/config"
)

const (
	// maxAnswer is how many bytes of an answer are read: a connection is used
	// again only if all of it was.
	maxAnswer = 64 << 10
	// maxRetryAfter bounds how long an endpoint can have its requests put off.
	maxRetryAfter = time.Hour
)

// newClient returns a client that follows no redirect: the headers are for the
// endpoint alone.
func newClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 1
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// refusal is an answer that is not 2xx.
type refusal struct {
	status     string
	retryAfter time.Duration // zero where the endpoint does not say
}

func (r *refusal) Error() string { return "the endpoint answers " + r.status }

// post sends an envelope. The error names neither the URL nor a header: both may
// hold secrets.
func post(ctx context.Context, client *http.Client, e config.EventEndpoint, body []byte) error {
	ctx, idle := withIdleTimeout(ctx, e.Timeout)
	defer idle.stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, idle.reader(bytes.NewReader(body)))
	if err != nil {
		return withoutURL(err)
	}
	req.ContentLength = int64(len(body))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(idle.reader(bytes.NewReader(body))), nil }
	for name, value := range e.Headers {
		req.Header.Set(name, value.Reveal())
	}
	req.Header.Set("Content-Type", MediaType)
	resp, err := client.Do(req)
	if err != nil {
		return idle.explain(withoutURL(err))
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(idle.reader(resp.Body), maxAnswer)); err != nil {
		return idle.explain(fmt.Errorf("read the answer: %w", err))
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return &refusal{status: resp.Status, retryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now())}
	}
	return nil
}

// withoutURL takes the URL off an error of package http.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// retryAfter reads a header in seconds or as a date (RFC 9110, section 10.2.3).
func retryAfter(header string, now time.Time) time.Duration {
	wait := time.Duration(0)
	if seconds, err := strconv.Atoi(header); err == nil {
		wait = time.Duration(min(seconds, int(maxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		wait = at.Sub(now)
	}
	return min(max(0, wait), maxRetryAfter)
}

// errIdle says that an endpoint has stood still.
var errIdle = errors.New("nothing moved")

// idleTimer ends a context when nothing has been read for a time.
type idleTimer struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	timeout time.Duration
}

func withIdleTimeout(ctx context.Context, timeout time.Duration) (context.Context, *idleTimer) {
	ctx, cancel := context.WithCancelCause(ctx)
	idle := &idleTimer{ctx: ctx, cancel: cancel, timeout: timeout}
	idle.timer = time.AfterFunc(timeout, func() { cancel(errIdle) })
	return ctx, idle
}

func (t *idleTimer) stop() {
	t.timer.Stop()
	t.cancel(nil)
}

// explain says of an error that it comes of standing still, where it does.
func (t *idleTimer) explain(err error) error {
	if errors.Is(context.Cause(t.ctx), errIdle) {
		return fmt.Errorf("%w for %s", errIdle, t.timeout)
	}
	return err
}

// reader returns a reader that takes every read for progress.
func (t *idleTimer) reader(r io.Reader) io.Reader { return &movingReader{r, t} }

type movingReader struct {
	io.Reader
	idle *idleTimer
}

func (r *movingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 {
		r.idle.timer.Reset(r.idle.timeout)
	}
	return n, err
}
