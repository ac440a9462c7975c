package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image/cloudlet"
	"github.com/cloudlets/cloudlets/registry"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

const (
	maxRequest = 4 << 20 // bytes of a render request
	maxWait    = 30 * time.Second
)

func contentPath(repository string, key digest.Digest) string {
	return "/v2/" + repository + "/_cloudlets/" + api.ComponentRenders + "/" + key.String() + "/content"
}

// ServeExtension serves the renders extension of the registry's API: it is a
// registry.ExtensionHandler.
func (r *Renderer) ServeExtension(w http.ResponseWriter, req *http.Request, repository, rest string) error {
	key, part, _ := strings.Cut(rest, "/")
	content, name, _ := strings.Cut(part, "/")
	switch {
	case rest == "" && req.Method == http.MethodPost:
		return r.postRender(w, req, repository)
	case rest != "" && part == "" && req.Method == http.MethodGet:
		return r.getRender(w, req, repository, digest.Digest(key))
	case content == "content" && (req.Method == http.MethodGet || req.Method == http.MethodHead):
		return r.getContent(w, req, repository, digest.Digest(key), name)
	}
	return &registry.Error{Status: http.StatusNotFound, Code: registry.CodeUnsupported,
		Message: fmt.Sprintf("%s %s: renders are asked for with POST, and read with GET", req.Method, req.URL.Path)}
}

func (r *Renderer) postRender(w http.ResponseWriter, req *http.Request, repository string) error {
	var ask api.RenderRequest
	d := json.NewDecoder(http.MaxBytesReader(w, req.Body, maxRequest))
	d.DisallowUnknownFields()
	if err := d.Decode(&ask); err != nil {
		return answer(badRequest("render request: %w", err))
	}
	if kit := ask.Bootkit; kit != nil && !registry.Allowed(req.Context(), registry.Need{Action: registry.ActionPull, Repository: kit.Repository}) {
		return answer(fmt.Errorf("boot kit: %w", metadata.ErrManifestUnknown)) // as if it were not there
	}
	state, err := r.Render(req.Context(), repository, ask)
	if err != nil {
		return answer(err)
	}
	status := http.StatusAccepted
	if state.State == api.RenderDone {
		status = http.StatusCreated
	}
	return registry.WriteJSON(w, status, state)
}

func (r *Renderer) getRender(w http.ResponseWriter, req *http.Request, repository string, key digest.Digest) error {
	if wait := req.URL.Query().Get("wait"); wait != "" {
		atMost, err := time.ParseDuration(wait)
		if err != nil {
			return badRequest("wait: expected a time such as 1s: %w", err)
		}
		if j := r.job(repository, key); j != nil {
			j.wait(req.Context().Done(), min(atMost, maxWait))
			return registry.WriteJSON(w, http.StatusOK, j.state())
		}
	}
	state, err := r.State(req.Context(), repository, key)
	if err != nil {
		return answer(err)
	}
	return registry.WriteJSON(w, http.StatusOK, state)
}

// getContent serves a file of the output of a render, from the moment it is
// planned: without a name, the first.
func (r *Renderer) getContent(w http.ResponseWriter, req *http.Request, repository string, key digest.Digest, name string) error {
	blob, err := r.openContent(req, repository, key, name)
	if err != nil {
		return answer(err)
	}
	defer blob.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Etag", `"`+key.String()+"/"+name+`"`)
	http.ServeContent(w, req, "", time.Time{}, io.NewSectionReader(blob, 0, blob.Size()))
	return nil
}

func (r *Renderer) openContent(req *http.Request, repository string, key digest.Digest, name string) (extent.Blob, error) {
	if j := r.job(repository, key); j != nil {
		for _, f := range j.plan() {
			if name == "" || f.Name == name {
				return extent.NewReader(req.Context(), f.Map, r.blobs), nil
			}
		}
	}
	state, err := r.State(req.Context(), repository, key)
	if err != nil {
		return nil, err
	}
	for _, f := range state.Files {
		if (name == "" || f.Name == name) && f.Blob != "" {
			return r.blobs.Open(req.Context(), f.Blob)
		}
	}
	return nil, fmt.Errorf("render %s, file %q: %w", key, name, metadata.ErrRenderUnknown)
}

// requestError is an error that the client made.
type requestError struct{ error }

func (e requestError) Unwrap() error { return e.error }

func badRequest(format string, args ...any) error {
	return requestError{fmt.Errorf(format, args...)}
}

// answer turns an error into the registry's words.
func answer(err error) error {
	var request requestError
	var unrenderable unrenderableError
	switch {
	case errors.As(err, &request):
		return &registry.Error{Status: http.StatusBadRequest, Code: registry.CodeUnsupported, Message: err.Error(), Cause: err}
	case isMissing(err):
		return &registry.Error{Status: http.StatusNotFound, Code: registry.CodeManifestUnknown, Message: err.Error(), Cause: err}
	case errors.As(err, &unrenderable):
		refusal := &registry.Error{Status: http.StatusUnprocessableEntity, Code: registry.CodeUnsupported, Message: err.Error(), Cause: err}
		var problems cloudlet.Problems
		if errors.As(err, &problems) {
			refusal.Detail = problems
		}
		return refusal
	}
	return err
}

// unrenderableError is an error about what is rendered — the image, the size,
// the configuration — and not the registry's own: trying again will not help.
type unrenderableError struct{ error }

func (e unrenderableError) Unwrap() error { return e.error }

// unrenderable makes an unrenderableError of what went wrong while an image was
// read or planned, unless reading the store failed, or was ended.
func unrenderable(err error) error {
	var path *fs.PathError
	var errno syscall.Errno
	if err == nil || errors.As(err, &path) || errors.As(err, &errno) || isMissing(err) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return unrenderableError{err}
}

var _ registry.ExtensionHandler = (*Renderer)(nil).ServeExtension

var _ Publisher = (*registry.Server)(nil)
