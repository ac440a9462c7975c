package registry

import (
	"context"
	"net/http"

	"github.com/cloudlets/cloudlets/blobstore"
)

// Redirector knows where else blobs can be read.
type Redirector interface {
	// Redirect returns a URL from which a client can GET a blob, or a range of
	// it; empty where it is to be sent from here. The URL is a secret of the
	// client that it is given to.
	Redirect(ctx context.Context, record blobstore.Record) (string, error)
}

// redirect sends a client elsewhere for a blob that it asks for, and says
// whether it has. HEAD is always answered here, as is a range that others might
// understand otherwise: one with If-Range, which has our entity tag in it, and
// one that is ignored.
func (s *Server) redirect(w http.ResponseWriter, r *http.Request, record blobstore.Record, outcome rangeOutcome) (bool, error) {
	if s.redirector == nil || r.Header.Get("Range") != "" && (outcome != rangePartial || r.Header.Get("If-Range") != "") {
		return false, nil
	}
	to, err := s.redirector.Redirect(r.Context(), record)
	if err != nil || to == "" {
		return false, err
	}
	h := w.Header()
	h.Del("Content-Type")
	h.Del("Etag")
	h.Set("Location", to)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusTemporaryRedirect)
	return true, nil
}
