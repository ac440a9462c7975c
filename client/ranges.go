package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// errWhole says that a registry was asked for parts of a blob, and has sent the
// whole.
var errWhole = errors.New("the registry does not serve parts of blobs")

// byteRange is a range of a blob, in bytes: from first up to but without end.
type byteRange struct{ first, end int64 }

// fetchRanges asks for parts of a blob in one request (RFC 9110, section 14), and
// passes those that come to use: fewer than were asked for, and longer ones, where
// the registry joins them. The error wraps errWhole where it sends the whole. What
// comes is not verified.
func (r *Repository) fetchRanges(ctx context.Context, d ocispec.Descriptor, wanted []byteRange, use func(part byteRange, body io.Reader) error) error {
	at := r.url("/v2/" + r.Reference.Repository + "/blobs/" + d.Digest.String())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return err
	}
	specs := make([]string, len(wanted))
	for i, w := range wanted {
		specs[i] = fmt.Sprintf("%d-%d", w.first, w.end-1)
	}
	req.Header.Set("Range", "bytes="+strings.Join(specs, ","))
	resp, err := r.do(req, pull)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusPartialContent:
	case http.StatusOK:
		return errWhole
	default:
		return answerError(resp)
	}
	kind, parameters, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/byteranges" {
		return usePart(resp.Header.Get("Content-Range"), resp.Body, use)
	}
	sent := &failing{Reader: resp.Body}
	parts := multipart.NewReader(sent, parameters["boundary"])
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return drain(resp.Body) // so that the connection is used again
		}
		if err != nil {
			return fmt.Errorf("read parts of blob %s: %w", d.Digest, errors.Join(err, sent.err))
		}
		if err := usePart(part.Header.Get("Content-Range"), part, use); err != nil {
			return err
		}
	}
}

// failing is a reader that remembers why it has failed, where those who read from
// it say something else: that what was cut off is malformed.
type failing struct {
	io.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

// usePart passes a part to use, as its Content-Range says.
func usePart(contentRange string, body io.Reader, use func(part byteRange, body io.Reader) error) error {
	var first, last int64
	if _, err := fmt.Sscanf(contentRange, "bytes %d-%d/", &first, &last); err != nil || first < 0 || last < first {
		return fmt.Errorf("part of a blob: the Content-Range is %q, expected bytes FIRST-LAST/SIZE", contentRange)
	}
	if err := use(byteRange{first, last + 1}, io.LimitReader(body, last+1-first)); err != nil {
		return err
	}
	return drain(body)
}

// readBlobAt reads a part of a blob. What is read is not verified.
func (r *Repository) readBlobAt(ctx context.Context, d ocispec.Descriptor, p []byte, off int64) (n int, err error) {
	wanted := byteRange{off, off + int64(len(p))}
	err = r.fetchRanges(ctx, d, []byteRange{wanted}, func(part byteRange, body io.Reader) error {
		if part.first != off {
			return fmt.Errorf("part of blob %s: it begins at %d, expected %d", d.Digest, part.first, off)
		}
		n, err = io.ReadFull(body, p)
		return err
	})
	return n, err
}
