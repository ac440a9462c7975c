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

	// soon is how long a request for a small output waits for its digest, without
	// being asked to; maxSmall is how large that is in bytes.
	soon     = time.Second
	maxSmall = 64 << 20
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
	ask, err := decodeRequest(http.MaxBytesReader(w, req.Body, maxRequest))
	if err != nil {
		return answer(badRequest("render request: %w", err))
	}
	patience, err := parseWait(req)
	if err != nil {
		return answer(err)
	}
	if kit := ask.Bootkit; kit != nil && !registry.Allowed(req.Context(), registry.Need{Action: registry.ActionPull, Repository: kit.Repository}) {
		return answer(fmt.Errorf("boot kit: %w", metadata.ErrManifestUnknown)) // as if it were not there
	}
	state, err := r.Render(req.Context(), repository, ask)
	if err != nil {
		return answer(err)
	}
	if patience == 0 && isSmall(state) {
		patience = soon
	}
	if state, err = r.await(req.Context(), repository, state.Key, patience); err != nil {
		return answer(err)
	}
	status := http.StatusAccepted
	if state.State == api.RenderDone {
		status = http.StatusCreated
	}
	return registry.WriteJSON(w, status, state)
}

func (r *Renderer) getRender(w http.ResponseWriter, req *http.Request, repository string, key digest.Digest) error {
	patience, err := parseWait(req)
	if err != nil {
		return answer(err)
	}
	state, err := r.await(req.Context(), repository, key, patience)
	if err != nil {
		return answer(err)
	}
	return registry.WriteJSON(w, http.StatusOK, state)
}

// decodeRequest reads a render request, and nothing after it.
func decodeRequest(body io.Reader) (ask api.RenderRequest, err error) {
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(&ask); err != nil {
		return ask, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return ask, errors.New("something follows the JSON object: expected one request")
	}
	return ask, nil
}

// parseWait returns how long a request wants to wait for the end of a render.
func parseWait(req *http.Request) (time.Duration, error) {
	wait := req.URL.Query().Get("wait")
	if wait == "" {
		return 0, nil
	}
	atMost, err := time.ParseDuration(wait)
	if err != nil {
		return 0, badRequest("wait: expected a time such as 1s: %w", err)
	}
	return min(atMost, maxWait), nil
}

// isSmall reports whether the digest of an output will be known soon.
func isSmall(render api.Render) bool {
	size := int64(0)
	for _, f := range render.Files {
		size += f.Size
	}
	return size > 0 && size <= maxSmall
}

// await returns the state of a render after its end, or after a time.
func (r *Renderer) await(ctx context.Context, repository string, key digest.Digest, atMost time.Duration) (api.Render, error) {
	j := r.job(repository, key)
	if j == nil {
		return r.State(ctx, repository, key)
	}
	j.wait(ctx.Done(), atMost)
	return j.state(), nil
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
