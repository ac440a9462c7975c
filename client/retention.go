package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/cloudlets/cloudlets/api"
)

// callExtension is call for a request that only a cloudlets registry has.
func (r *Repository) callExtension(ctx context.Context, method, at, contentType string, body io.Reader, answer any) error {
	err := r.call(ctx, method, at, contentType, body, answer)
	var e *AnswerError
	if errors.As(err, &e) && (e.Status == http.StatusMethodNotAllowed || e.Status == http.StatusNotFound && (e.Code == "" || e.Code == "UNSUPPORTED")) {
		return ErrNoExtension
	}
	return err
}

// Hold keeps what the repository's reference names: a tag is neither moved nor
// deleted, a manifest or a blob is not removed.
func (r *Repository) Hold(ctx context.Context, reason string) error {
	body, err := json.Marshal(api.Hold{Reason: reason})
	if err != nil {
		return err
	}
	err = r.callExtension(ctx, http.MethodPut, r.holds(r.Reference.Reference), "application/json", bytes.NewReader(body), nil)
	return r.about("hold", err)
}

// Release lifts the hold of what the repository's reference names.
func (r *Repository) Release(ctx context.Context) error {
	err := r.callExtension(ctx, http.MethodDelete, r.holds(r.Reference.Reference), "", nil, nil)
	return r.about("release", err)
}

// Holds lists what of the repository is on hold.
func (r *Repository) Holds(ctx context.Context) ([]api.Hold, error) {
	var holds []api.Hold
	err := r.callExtension(ctx, http.MethodGet, r.holds(), "", nil, &holds)
	return holds, r.about("list the holds of", err)
}

// Removed lists the manifests of the repository that were removed and can be
// restored, the last removed first.
func (r *Repository) Removed(ctx context.Context) ([]api.Removed, error) {
	var removed []api.Removed
	err := r.callExtension(ctx, http.MethodGet, r.extension(api.ComponentRetention, "removed"), "", nil, &removed)
	return removed, r.about("list what was removed from", err)
}

// Restore puts the removed manifest that the repository's reference names, with
// tags.
func (r *Repository) Restore(ctx context.Context, tags ...string) error {
	at := r.extension(api.ComponentRetention, "removed", r.Reference.Reference)
	if len(tags) > 0 {
		at += "?" + url.Values{"tag": tags}.Encode()
	}
	return r.about("restore", r.callExtension(ctx, http.MethodPost, at, "", nil, nil))
}

func (r *Repository) holds(reference ...string) string {
	return r.extension(append([]string{api.ComponentRetention, "holds"}, reference...)...)
}

// about says of an error what was done to what.
func (r *Repository) about(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", what, r.Reference, err)
}
