package registry

import (
	"crypto/rand"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/registry/metadata"
)

// PullListener is told of what is pulled.
type PullListener interface {
	// WantsPulls says whether anybody wants to know. It is asked for every pull.
	WantsPulls() bool
	// Pulled must not block.
	Pulled(metadata.Event)
}

// withOrigin returns a request whose changes are told of as its own. What only
// reads changes nothing.
func withOrigin(r *http.Request) *http.Request {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return r
	}
	return r.WithContext(metadata.WithOrigin(r.Context(), originOf(r)))
}

func originOf(r *http.Request) metadata.Origin {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return metadata.Origin{
		Actor: actorOf(r.Context()), RequestID: rand.Text(), Address: r.RemoteAddr,
		Base: scheme + "://" + r.Host, Host: r.Host, Method: r.Method, UserAgent: r.UserAgent(),
	}
}

// pull is what somebody is about to be sent.
type pull struct {
	route     route
	digest    digest.Digest
	mediaType string
	size      int64 // in bytes
	manifest  bool
}

// pulled tells of a pull, if somebody wants to know.
func (s *Server) pulled(r *http.Request, p pull) {
	if s.pulls == nil || !s.pulls.WantsPulls() {
		return
	}
	e := metadata.Event{
		Action: metadata.EventPull, Repository: p.route.name, Digest: p.digest, MediaType: p.mediaType, Size: p.size, Manifest: p.manifest,
	}
	if p.manifest && !isDigest(p.route.reference) {
		e.Tag = p.route.reference
	}
	s.pulls.Pulled(metadata.NewEvent(metadata.WithOrigin(r.Context(), originOf(r)), time.Now().UTC(), e))
}
