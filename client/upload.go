package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/blobstore/frame"
)

// layerWriter writes a layer to w.
type layerWriter func(w io.Writer) (*layer, error)

// pushLayer has a layer written and sees that the repository holds it.
//
// A cloudlets registry that has nothing to share gets the layer while it is
// being written. Otherwise it is written to a temporary file first, because
// which frames are to be sent is known only then.
func (r *Repository) pushLayer(ctx context.Context, write layerWriter) (*layer, error) {
	elders, err := r.elders(ctx)
	if err != nil {
		return nil, err
	}
	if elders != nil && elders.Blobs == 0 {
		return r.streamLayer(ctx, write)
	}
	spool, err := newSpool()
	if err != nil {
		return nil, err
	}
	defer spool.Close()
	l, err := write(spool)
	if err != nil {
		return nil, err
	}
	if elders == nil {
		return l, r.pushWhole(ctx, l.descriptor, spool)
	}
	return l, r.pushFrames(ctx, l, spool)
}

// newSpool returns a temporary file that has no name any more, so that nothing
// of it is left however the program ends.
func newSpool() (*os.File, error) {
	f, err := os.CreateTemp("", "cloudlets-push-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// elders asks what a new layer could share frames with. It returns nil where
// the registry is not a cloudlets.
func (r *Repository) elders(ctx context.Context) (*api.Elders, error) {
	var elders api.Elders
	err := r.call(ctx, http.MethodGet, r.extension(api.ComponentFrames), "", nil, &elders)
	if hasStatus(err, http.StatusNotFound, http.StatusMethodNotAllowed) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask for layers to share frames with: %w", err)
	}
	return &elders, nil
}

// streamLayer uploads a layer while it is being written.
func (r *Repository) streamLayer(ctx context.Context, write layerWriter) (*layer, error) {
	location, err := r.beginUpload(ctx)
	if err != nil {
		return nil, err
	}
	read, written := net.Pipe()
	var l *layer
	done := make(chan error, 1)
	go func() {
		var err error
		l, err = write(written)
		done <- errors.Join(err, written.Close())
	}()
	location, err = r.uploadBursts(ctx, location, read, lull)
	err = errors.Join(err, read.Close())
	// What is wrong with the content matters more than the upload it broke.
	if writeErr := <-done; writeErr != nil && !errors.Is(writeErr, io.ErrClosedPipe) {
		return nil, errors.Join(writeErr, r.cancelUpload(ctx, location))
	}
	if err != nil {
		return nil, fmt.Errorf("upload layer: %w", err)
	}
	if _, err := r.upload(ctx, http.MethodPut, withDigest(location, l.descriptor.Digest), http.NoBody); err != nil {
		return nil, fmt.Errorf("upload layer: %w", err)
	}
	return l, nil
}

// lull is how long nothing may come of a layer before the request that sends it
// ends, far less than servers wait.
const lull = 15 * time.Second

// uploadBursts sends what is written to a pipe, in as many requests as it takes: one
// ends where nothing comes for a while. A server takes silence for a lost
// connection, and a hole of many GiB, which is sent in no time, is long hashed.
func (r *Repository) uploadBursts(ctx context.Context, at *url.URL, from net.Conn, lull time.Duration) (*url.URL, error) {
	first := make([]byte, 32<<10)
	for {
		_ = from.SetReadDeadline(time.Time{}) // Read tells that the pipe was closed
		n, err := from.Read(first)
		if errors.Is(err, io.EOF) {
			return at, nil
		}
		if err == nil {
			at, err = r.upload(ctx, http.MethodPatch, at, io.MultiReader(bytes.NewReader(first[:n]), burst{from, lull}))
		}
		if err != nil {
			return at, err
		}
	}
}

// burst reads from a pipe, and ends where nothing comes for as long as a lull.
type burst struct {
	from net.Conn
	lull time.Duration
}

func (b burst) Read(p []byte) (int, error) {
	_ = b.from.SetReadDeadline(time.Now().Add(b.lull))
	n, err := b.from.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = io.EOF
	}
	return n, err
}

// beginUpload begins an upload and returns its URL.
func (r *Repository) beginUpload(ctx context.Context) (*url.URL, error) {
	start, err := url.Parse(r.url("/v2/" + r.Reference.Repository + "/blobs/uploads/"))
	if err != nil {
		return nil, err
	}
	location, err := r.upload(ctx, http.MethodPost, start, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("begin upload: %w", err)
	}
	return location, nil
}

// upload sends a request of an upload and returns where it goes on: at the same
// place, if the answer does not say.
func (r *Repository) upload(ctx context.Context, method string, at *url.URL, body io.Reader) (*url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, method, at.String(), body)
	if err != nil {
		return at, err
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := r.do(req, push)
	if err != nil {
		return at, err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return at, answerError(resp)
	}
	if resp.Header.Get("Location") == "" {
		return at, nil
	}
	next, err := resp.Location()
	if err != nil {
		return at, fmt.Errorf("read where the upload goes on: %w", err)
	}
	return next, nil
}

// cancelUpload gives an upload up. It goes on when ctx was cancelled: that is
// when it is needed most.
func (r *Repository) cancelUpload(ctx context.Context, at *url.URL) error {
	_, err := r.upload(context.WithoutCancel(ctx), http.MethodDelete, at, http.NoBody)
	if err != nil {
		return fmt.Errorf("cancel upload: %w", err)
	}
	return nil
}

func withDigest(u *url.URL, d digest.Digest) *url.URL {
	with := *u
	q := with.Query()
	q.Set("digest", d.String())
	with.RawQuery = q.Encode()
	return &with
}

// pushWhole uploads a blob the standard way, unless the repository holds it.
func (r *Repository) pushWhole(ctx context.Context, d ocispec.Descriptor, blob io.ReaderAt) error {
	held, err := r.Blobs().Exists(ctx, d)
	if err != nil || held {
		return err
	}
	step := r.client.step("upload", d.Size)
	err = r.Blobs().Push(ctx, d, io.TeeReader(io.NewSectionReader(blob, 0, d.Size), &counter{step: step}))
	step.End(err)
	return err
}

// pushFrames sends the frames of a layer that the registry lacks.
func (r *Repository) pushFrames(ctx context.Context, l *layer, blob io.ReaderAt) error {
	open := func(_ frame.Set, runs []api.FrameRange) (io.ReadCloser, error) {
		var parts []io.Reader
		for _, run := range runs {
			first, last := l.index.At(run.First), l.index.At(run.First+run.Count-1)
			parts = append(parts, io.NewSectionReader(blob, first.Offset, last.Offset+last.Size-first.Offset))
		}
		return io.NopCloser(io.MultiReader(parts...)), nil
	}
	held, err := r.sendFrames(ctx, "upload", l.descriptor.Digest, l.index, l.index.Encode(), open)
	if err != nil || held {
		return err
	}
	return r.pushWhole(ctx, l.descriptor, blob)
}

// call sends a request and decodes the JSON that answers it, unless answer is nil.
func (r *Repository) call(ctx context.Context, method, at, contentType string, body io.Reader, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, at, body)
	if err != nil {
		return err
	}
	actions := pull
	if method != http.MethodGet {
		actions = push
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := r.do(req, actions)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return answerError(resp)
	}
	if answer == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(answer); err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", method, at, err)
	}
	return nil
}

// maxAnswer bounds an answer of the registry in bytes: the missing frames of a
// layer are the longest.
const maxAnswer = 64 << 20

// AnswerError is an answer of a registry that is not what was asked for.
type AnswerError struct {
	Method, URL string
	Status      int    // of HTTP
	Code        string // the registry's, such as MANIFEST_UNKNOWN; may be empty
	Message     string // the registry's; may be empty
}

// Error returns the registry's own words where it has any.
func (e *AnswerError) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("%s %s: the registry answers %d %s", e.Method, e.URL, e.Status, http.StatusText(e.Status))
	}
	return fmt.Sprintf("%s (%d %s)", e.Message, e.Status, e.Code)
}

// Is makes an answer that something does not exist an errdef.ErrNotFound.
func (e *AnswerError) Is(target error) bool {
	return target == errdef.ErrNotFound && e.Status == http.StatusNotFound
}

// answerError makes an error of a response.
func answerError(resp *http.Response) error {
	e := &AnswerError{Method: resp.Request.Method, URL: resp.Request.URL.Redacted(), Status: resp.StatusCode}
	var body struct {
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&body); err == nil && len(body.Errors) > 0 {
		e.Code, e.Message = body.Errors[0].Code, body.Errors[0].Message
	}
	return e
}

// hasStatus reports whether err is an answer with one of the statuses.
func hasStatus(err error, statuses ...int) bool {
	var e *AnswerError
	return errors.As(err, &e) && slices.Contains(statuses, e.Status)
}
