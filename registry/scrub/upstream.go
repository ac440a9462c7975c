package scrub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/retry"

	"github.com/cloudlets/cloudlets/blobstore"
)

// fetchIdle is how long a source may send nothing before it is given up.
const fetchIdle = time.Minute

// Upstream is a [Source] over another registry: it has a blob in the repository of
// the same name, below a prefix.
type Upstream struct {
	host   string
	prefix string // of the repository's name
	plain  bool   // HTTP without TLS
	client *auth.Client
}

var _ Source = (*Upstream)(nil)

// ParseUpstreams returns the registries that a list names, separated by commas: each
// a URL such as https://registry.example or https://mirror.example/golden, whose path
// begins the names of the repositories there. They are reached with the credentials
// of docker's configuration, or with none.
func ParseUpstreams(list string) ([]Source, error) {
	if strings.TrimSpace(list) == "" {
		return nil, nil
	}
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return nil, fmt.Errorf("read docker's credentials: %w", err)
	}
	client := &auth.Client{Client: retry.DefaultClient, Cache: auth.NewCache(), Credential: credentials.Credential(store)}
	var sources []Source
	for text := range strings.SplitSeq(list, ",") {
		u, err := parseUpstream(strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		u.client = client
		sources = append(sources, u)
	}
	return sources, nil
}

func parseUpstream(text string) (*Upstream, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("a registry to repair from: expected a URL such as https://registry.example, found one that is not valid")
	}
	if u.User != nil {
		return nil, fmt.Errorf("registry %s to repair from: expected no credentials in the URL: use cloudlets login", u.Redacted())
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("registry %q to repair from: expected a URL such as https://registry.example or https://registry.example/prefix", text)
	}
	return &Upstream{host: u.Host, prefix: strings.Trim(u.Path, "/"), plain: u.Scheme == "http"}, nil
}

// String returns the URL.
func (u *Upstream) String() string {
	scheme := "https"
	if u.plain {
		scheme = "http"
	}
	return strings.TrimSuffix(scheme+"://"+u.host+"/"+u.prefix, "/")
}

// Fetch opens a blob.
func (u *Upstream) Fetch(ctx context.Context, repository string, d digest.Digest) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	idle := time.AfterFunc(fetchIdle, cancel)
	repo := &remote.Repository{
		Client:    u.client,
		Reference: registry.Reference{Registry: u.host, Repository: path.Join(u.prefix, repository)},
		PlainHTTP: u.plain,
	}
	_, body, err := repo.Blobs().FetchReference(ctx, string(d))
	if err != nil {
		idle.Stop()
		cancel()
		return nil, fmt.Errorf("fetch %s from %s: %w", d, repo.Reference, notFound(err))
	}
	return &watchedBody{ReadCloser: body, idle: idle, cancel: cancel}, nil
}

func notFound(err error) error {
	if errors.Is(err, errdef.ErrNotFound) {
		return fmt.Errorf("%w: %w", blobstore.ErrNotFound, err)
	}
	return err
}

// watchedBody is given up when nothing comes for too long.
type watchedBody struct {
	io.ReadCloser
	idle   *time.Timer
	cancel context.CancelFunc
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.idle.Reset(fetchIdle)
	return n, err
}

func (b *watchedBody) Close() error {
	b.idle.Stop()
	b.cancel()
	return b.ReadCloser.Close()
}
