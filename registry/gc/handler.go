package gc

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/registry"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

const (
	// maxRemoved is how many removed manifests are listed.
	maxRemoved = 1000
	// maxHold bounds the body of a hold in bytes.
	maxHold = 64 << 10
)

// Putter puts a manifest as a push would: a *registry.Server.
type Putter interface {
	PutManifest(ctx context.Context, repository, reference, mediaType string, raw []byte, tags ...string) (metadata.Manifest, error)
}

// Handler serves api.ComponentRetention.
type Handler struct {
	meta *metadata.Store
	put  Putter
}

// NewHandler returns a handler.
func NewHandler(meta *metadata.Store, put Putter) *Handler { return &Handler{meta: meta, put: put} }

// ServeExtension is a registry.ExtensionHandler.
func (h *Handler) ServeExtension(w http.ResponseWriter, r *http.Request, name, rest string) error {
	what, reference, _ := strings.Cut(rest, "/")
	if r.Method != http.MethodGet && !registry.Allowed(r.Context(), registry.Need{Action: registry.ActionAdmin, Repository: name}) {
		return &registry.Error{Status: http.StatusForbidden, Code: registry.CodeDenied,
			Message: "this needs the right to administer the repository"}
	}
	switch one := reference != ""; {
	case what == "holds" && !one && r.Method == http.MethodGet:
		return h.listHolds(w, r, name)
	case what == "holds" && one && r.Method == http.MethodPut:
		return h.setHold(w, r, name, reference)
	case what == "holds" && one && r.Method == http.MethodDelete:
		return answer(w, http.StatusAccepted, h.meta.LiftHold(r.Context(), name, reference))
	case what == "removed" && !one && r.Method == http.MethodGet:
		return h.listRemoved(w, r, name)
	case what == "removed" && one && r.Method == http.MethodPost:
		return h.undelete(w, r, name, reference)
	}
	return &registry.Error{Status: http.StatusNotFound, Code: registry.CodeUnsupported,
		Message: fmt.Sprintf("there is no %s of %q: see docs/garbage-collection.md", r.Method, rest)}
}

// answer sends a status without a body, unless there is an error.
func answer(w http.ResponseWriter, status int, err error) error {
	if err != nil {
		return err
	}
	w.WriteHeader(status)
	return nil
}

func (h *Handler) listHolds(w http.ResponseWriter, r *http.Request, name string) error {
	held, err := h.meta.Holds(r.Context(), name)
	if err != nil {
		return err
	}
	holds := make([]api.Hold, len(held))
	for i, one := range held {
		holds[i] = api.Hold{Reference: one.Reference, Reason: one.Reason, Actor: one.Actor}
	}
	return registry.WriteJSON(w, http.StatusOK, holds)
}

func (h *Handler) setHold(w http.ResponseWriter, r *http.Request, name, reference string) error {
	var hold api.Hold
	if err := json.NewDecoder(io.LimitReader(r.Body, maxHold)).Decode(&hold); err != nil {
		return &registry.Error{Status: http.StatusBadRequest, Code: registry.CodeUnsupported, Cause: err,
			Message: fmt.Sprintf(`the body is not a hold: expected {"reason": "…"}: %v`, err)}
	}
	err := h.meta.SetHold(r.Context(), name, metadata.Hold{Reference: reference, Reason: hold.Reason, Actor: registry.ActorOf(r.Context())})
	return answer(w, http.StatusCreated, err)
}

func (h *Handler) listRemoved(w http.ResponseWriter, r *http.Request, name string) error {
	graves, err := h.meta.Graves(r.Context(), name, maxRemoved)
	if err != nil {
		return err
	}
	removed := make([]api.Removed, len(graves))
	for i, g := range graves {
		removed[i] = api.Removed{Digest: string(g.Digest), MediaType: g.MediaType,
			Removed: g.Removed.Format(time.RFC3339), Until: g.Expires.Format(time.RFC3339)}
	}
	return registry.WriteJSON(w, http.StatusOK, removed)
}

func (h *Handler) undelete(w http.ResponseWriter, r *http.Request, name, reference string) error {
	d, err := digest.Parse(reference)
	if err != nil {
		return &registry.Error{Status: http.StatusBadRequest, Code: registry.CodeDigestInvalid, Cause: err,
			Message: fmt.Sprintf("%q is not a digest: %v", reference, err)}
	}
	err = Undelete(r.Context(), h.meta, name, d, func(ctx context.Context, g metadata.Grave) error {
		_, err := h.put.PutManifest(ctx, name, string(d), g.MediaType, g.Raw, r.URL.Query()["tag"]...)
		return err
	})
	return answer(w, http.StatusCreated, err)
}
