package quarantine

import (
	"fmt"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/registry"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// Handler serves api.ComponentQuarantine.
type Handler struct{ meta *metadata.Store }

// NewHandler returns a handler.
func NewHandler(meta *metadata.Store) *Handler { return &Handler{meta: meta} }

var _ registry.ExtensionHandler = (*Handler)(nil).ServeExtension

// ServeExtension is a registry.ExtensionHandler.
func (h *Handler) ServeExtension(w http.ResponseWriter, r *http.Request, name, rest string) error {
	if !registry.Allowed(r.Context(), registry.Need{Action: registry.ActionAdmin, Repository: name}) {
		return &registry.Error{Status: http.StatusForbidden, Code: registry.CodeDenied,
			Message: "this needs the right to administer the repository"}
	}
	if rest != "" || r.Method != http.MethodGet {
		return &registry.Error{Status: http.StatusNotFound, Code: registry.CodeUnsupported,
			Message: fmt.Sprintf("there is no %s of %q: see docs/scrub.md", r.Method, rest)}
	}
	found, err := h.meta.Quarantined(r.Context(), name, digest.Digest(r.URL.Query().Get("last")), api.MaxQuarantined)
	if err != nil {
		return err
	}
	blobs := make([]api.Quarantined, len(found))
	for i, q := range found {
		blobs[i] = api.Quarantined{Digest: string(q.Digest), Size: q.Size, Since: q.Since.Format(time.RFC3339), Reason: q.Reason}
	}
	return registry.WriteJSON(w, http.StatusOK, blobs)
}
