package s3

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/cloudlets/cloudlets/blobstore"
)

// How long is waited between two tries of a request: a random time up to a bound
// that doubles.
const (
	firstWait = 200 * time.Millisecond
	maxWait   = 5 * time.Second
)

// translate makes errors that say that something is not there wrap ErrNotFound,
// and those of a server that is overloaded, fails or cannot be reached ErrBusy.
func translate(err error) error {
	var response minio.ErrorResponse
	var unreachable *url.Error
	switch {
	case errors.As(err, &response):
		if response.Code == minio.NoSuchKey || response.Code == minio.NoSuchUpload {
			return fmt.Errorf("%w: %w", blobstore.ErrNotFound, err)
		}
		if retryable(err) {
			return fmt.Errorf("the object store is %w: %w", blobstore.ErrBusy, err)
		}
	case errors.As(err, &unreachable) && !errors.Is(err, context.Canceled):
		return fmt.Errorf("the object store does not answer (%w): %w", blobstore.ErrBusy, err)
	}
	return err
}

// retryable says whether the same request may work another time: if it got no
// answer, or one that says so, or if its bytes did not arrive as they were sent.
func retryable(err error) bool {
	var response minio.ErrorResponse
	if !errors.As(err, &response) {
		return true
	}
	switch response.Code {
	case "BadDigest", "RequestTimeout", "SlowDown", "InternalError", "Throttling":
		return true
	}
	return response.StatusCode >= http.StatusInternalServerError && response.StatusCode != http.StatusNotImplemented ||
		response.StatusCode == http.StatusTooManyRequests || response.StatusCode == http.StatusRequestTimeout
}

// retry makes a request until it works or there is no point in going on. The
// client does the like for requests whose answer has no body; what has a body on
// its way out must get a new reader each time, since the last try may still be
// reading from the old one.
func (d *Driver) retry(ctx context.Context, request func() error) error {
	bound := firstWait
	for i := 1; ; i++ {
		err := request()
		if err == nil || i >= d.config.Attempts || !retryable(err) {
			return err
		}
		select {
		case <-time.After(rand.N(bound)): //nolint:gosec // it need not be hard to guess
		case <-ctx.Done():
			return ctx.Err()
		}
		bound = min(2*bound, maxWait)
	}
}
