package client

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// Options say how registries are reached.
type Options struct {
	// PlainHTTP uses HTTP without TLS. It is implied for localhost, as in
	// docker, unless TLS says something.
	PlainHTTP bool
	TLS       TLS
	// UserAgent names the program.
	UserAgent string
	// Progress is told how pushes and pulls go on; nil for silence.
	Progress Progress
	// Warn is told, once each, what registries warn of; nil for silence.
	Warn func(text string)
}

// Client reaches registries, with the credentials of docker's configuration
// and its credential helpers.
type Client struct {
	auth      *auth.Client
	send      sender
	plainHTTP bool
	localHTTP bool // on localhost
	progress  Progress
}

// New returns a client.
func New(o Options) (*Client, error) {
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return nil, fmt.Errorf("read docker's credentials: %w", err)
	}
	if o.Progress == nil {
		o.Progress = Silent{}
	}
	if o.PlainHTTP && o.TLS.set() {
		return nil, fmt.Errorf("%w: plain HTTP has neither authorities nor certificates", ErrOptions)
	}
	httpClient, err := newHTTPClient(o.TLS)
	if err != nil {
		return nil, err
	}
	c := &auth.Client{
		Client:     httpClient,
		Cache:      auth.NewCache(),
		Credential: credentials.Credential(store),
	}
	if o.UserAgent != "" {
		c.SetUserAgent(o.UserAgent)
	}
	return &Client{auth: c, send: sender{c, once(o.Warn)}, plainHTTP: o.PlainHTTP, localHTTP: !o.TLS.set(), progress: o.Progress}, nil
}

// Repository is a repository of a registry, and what of it a reference names.
type Repository struct {
	*remote.Repository
	client *Client
}

// Repository returns what a reference such as localhost:5000/golden/debian:12
// names. Nothing is asked of the registry yet. The error is fs.ErrNotExist where
// the path of a file was meant that is not there.
func (c *Client) Repository(reference string) (*Repository, error) {
	if isPath(reference) {
		if _, err := os.Stat(reference); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%s: expected HOST[:PORT]/REPOSITORY[:TAG|@DIGEST], found a path", reference)
	}
	ref, err := registry.ParseReference(reference)
	if err != nil {
		return nil, fmt.Errorf("reference %q: expected HOST[:PORT]/REPOSITORY[:TAG|@DIGEST]: %w", reference, err)
	}
	return c.repository(ref), nil
}

func (c *Client) repository(ref registry.Reference) *Repository {
	repo := &remote.Repository{
		Client:    c.send,
		Reference: ref,
		PlainHTTP: c.overHTTP(ref.Registry),
		// Where a tag stands in for the Referrers API, the index that it pointed to
		// before stays: many registries let nobody delete.
		SkipReferrersGC: true,
	}
	return &Repository{Repository: repo, client: c}
}

// Registry returns the registry of a name such as localhost:5000. Nothing is
// asked of it yet.
func (c *Client) Registry(name string) (*remote.Registry, error) {
	reg, err := remote.NewRegistry(name)
	if err != nil {
		return nil, fmt.Errorf("registry %q: expected HOST[:PORT]: %w", name, err)
	}
	reg.Client = c.auth
	reg.PlainHTTP = c.overHTTP(name)
	return reg, nil
}

// overHTTP says whether a registry is asked without TLS.
func (c *Client) overHTTP(host string) bool { return c.plainHTTP || c.localHTTP && isLocal(host) }

// isLocal reports whether a host is this machine.
func isLocal(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// worthShowing is how many bytes a step has at least to be shown.
const worthShowing = 1 << 20

// step begins a step of a known size, which is shown unless it is over at once.
func (c *Client) step(name string, total int64) Step {
	if total < worthShowing {
		return silentStep{}
	}
	return c.progress.Step(name, total)
}

// url returns the URL of a path on the repository's registry.
func (r *Repository) url(path string) string {
	scheme := "https"
	if r.PlainHTTP {
		scheme = "http"
	}
	return scheme + "://" + r.Reference.Host() + path
}

// extension returns the URL of a path below the repository's extension.
func (r *Repository) extension(parts ...string) string {
	return r.url("/v2/" + r.Reference.Repository + "/_cloudlets/" + strings.Join(parts, "/"))
}

// actions that a request needs.
var (
	pull = []string{auth.ActionPull}
	push = []string{auth.ActionPull, auth.ActionPush}
)

// do sends a request that needs the given actions on the repository.
func (r *Repository) do(req *http.Request, actions []string) (*http.Response, error) {
	ctx := auth.AppendRepositoryScope(req.Context(), r.Reference, actions...)
	req = req.WithContext(ctx)
	if req.Body == http.NoBody {
		req.Body = nil // what is tried again, is only without a body or with one that can be read again
	}
	return r.client.send.Do(req)
}
