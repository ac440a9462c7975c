package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// DefaultIdleTimeout is the default of Config.IdleTimeout.
const DefaultIdleTimeout = 2 * time.Minute

// Config is what a registry is made of.
type Config struct {
	Blobs    *blobstore.Store // whose index is Metadata
	Metadata *metadata.Store
	Log      *slog.Logger // nil is slog.Default

	// IdleTimeout is how long a transfer may stand still; zero is
	// DefaultIdleTimeout.
	IdleTimeout time.Duration

	// Access decides who may do what; nil lets everybody do everything.
	Access Access
	// Quota bounds what is pushed; nil does not.
	Quota Quota

	// Redirect sends clients elsewhere for blobs; nil sends all from here.
	Redirect Redirector

	// Extensions serve the paths below /v2/<name>/_cloudlets/<component>/, by
	// component.
	Extensions map[string]ExtensionHandler
	// OnManifest, if not nil, is called after a manifest was put, before its
	// client is answered. It must not block: it is for starting work that goes
	// on in the background. ctx is not cancelled with the request.
	OnManifest func(ctx context.Context, repository string, d digest.Digest)
	// Pulls is told of what is pulled; nil is nobody.
	Pulls PullListener
}

// ExtensionHandler serves an extension. name is the repository's, checked; rest
// is the path after the component's slash. An error that it returns before
// writing anything is answered in the specification's JSON: see [Error].
type ExtensionHandler func(w http.ResponseWriter, r *http.Request, name, rest string) error

// Server is a registry.
type Server struct {
	blobs       *blobstore.Store
	meta        *metadata.Store
	log         *slog.Logger
	idle        time.Duration
	access      Access
	quota       Quota
	redirector  Redirector
	extensions  map[string]ExtensionHandler
	onManifest  func(context.Context, string, digest.Digest)
	pulls       PullListener
	uploadLocks keyedLocks
}

var _ http.Handler = (*Server)(nil)

// New returns a registry. The http.Server around it should have a
// ReadHeaderTimeout and an IdleTimeout, and neither ReadTimeout nor
// WriteTimeout.
func New(c Config) (*Server, error) {
	if c.Blobs == nil || c.Metadata == nil {
		return nil, errors.New("new registry: both Blobs and Metadata are needed")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.IdleTimeout == 0 {
		c.IdleTimeout = DefaultIdleTimeout
	}
	s := &Server{
		blobs:      c.Blobs,
		meta:       c.Metadata,
		log:        c.Log,
		idle:       c.IdleTimeout,
		access:     c.Access,
		quota:      c.Quota,
		redirector: c.Redirect,
		extensions: map[string]ExtensionHandler{},
		onManifest: c.OnManifest,
		pulls:      c.Pulls,
	}
	s.extensions[api.ComponentHistory] = s.serveHistory
	maps.Copy(s.extensions, c.Extensions)
	return s, nil
}

// Headers of the specification, in the form http.Header keys have.
const (
	headerDigest     = "Docker-Content-Digest"
	headerAPIVersion = "Docker-Distribution-Api-Version"
	headerUploadID   = "Docker-Upload-Uuid"
	headerSubject    = "Oci-Subject"
	headerTag        = "Oci-Tag"
	headerFilters    = "Oci-Filters-Applied"
)

// apiVersion is shared by all answers: it is never changed.
var apiVersion = []string{"registry/2.0"}

// ServeHTTP serves the registry's paths, which all begin with /v2/.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header()[headerAPIVersion] = apiVersion
	r, body := watchBody(r)
	if err := s.serve(w, r); err != nil {
		body.part(w)
		s.answerError(w, r, err)
		body.linger(w)
	}
}

type handler func(s *Server, w http.ResponseWriter, r *http.Request, rt route) error

// methods are what each endpoint serves.
var methods = map[endpoint]map[string]handler{
	endpointBase:      {http.MethodGet: (*Server).getBase, http.MethodHead: (*Server).getBase},
	endpointCatalog:   {http.MethodGet: (*Server).getCatalog},
	endpointTags:      {http.MethodGet: (*Server).getTags},
	endpointReferrers: {http.MethodGet: (*Server).getReferrers},
	endpointBlob: {
		http.MethodGet:    (*Server).getBlob,
		http.MethodHead:   (*Server).headBlob,
		http.MethodDelete: (*Server).deleteBlob,
	},
	endpointUploads: {http.MethodPost: (*Server).postUpload},
	endpointUpload: {
		http.MethodGet:    (*Server).getUpload,
		http.MethodPatch:  (*Server).patchUpload,
		http.MethodPut:    (*Server).putUpload,
		http.MethodDelete: (*Server).deleteUpload,
	},
	endpointManifest: {
		http.MethodGet:    (*Server).getManifest,
		http.MethodHead:   (*Server).headManifest,
		http.MethodPut:    (*Server).putManifest,
		http.MethodDelete: (*Server).deleteManifest,
	},
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) error {
	rt := parseRoute(r.URL.Path)
	if rt.endpoint == endpointNone {
		return &Error{Status: http.StatusNotFound, Code: CodeUnsupported,
			Message: fmt.Sprintf("there is nothing at %s: see the OCI distribution specification", r.URL.Path)}
	}
	if rt.name != "" || rt.endpoint == endpointExtension {
		if err := checkName(rt.name); err != nil {
			return err
		}
	}
	r, err := s.authorize(r, rt)
	if err != nil {
		return err
	}
	r = withOrigin(r)
	warn(w, r, rt)
	done, err := s.admit(r, rt)
	if err != nil {
		return err
	}
	defer done()
	if rt.endpoint == endpointExtension {
		return s.serveExtension(w, r, rt)
	}
	handle, ok := methods[rt.endpoint][r.Method]
	if !ok {
		return methodNotAllowed(w, r, rt.endpoint)
	}
	return handle(s, w, r, rt)
}

func methodNotAllowed(w http.ResponseWriter, r *http.Request, e endpoint) error {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if methods[e][method] != nil {
			allowed = append(allowed, method)
		}
	}
	allow := strings.Join(allowed, ", ")
	w.Header().Set("Allow", allow)
	return &Error{Status: http.StatusMethodNotAllowed, Code: CodeUnsupported,
		Message: fmt.Sprintf("%s is not possible here: expected one of %s", r.Method, allow)}
}

func (s *Server) serveExtension(w http.ResponseWriter, r *http.Request, rt route) error {
	handle := s.extensions[rt.reference]
	if handle == nil {
		return &Error{Status: http.StatusNotFound, Code: CodeUnsupported,
			Message: fmt.Sprintf("this registry has no extension %q", rt.reference)}
	}
	return handle(w, r, rt.name, rt.rest)
}

// getBase says that this is a registry.
func (s *Server) getBase(w http.ResponseWriter, r *http.Request, _ route) error {
	return writeJSON(w, r, "application/json", struct{}{})
}
