package main

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
)

// session is one run of the suite: the registry, and names that no earlier run
// has used.
type session struct {
	base     *url.URL
	client   *http.Client
	profile  profile
	repo     string // to push to
	other    string // to mount from
	id       string // ends tags, so that they are this run's
	minChunk int    // the registry's minimal chunk in bytes; 0 before it was asked
}

func newSession(set settings) (*session, error) {
	base, err := url.Parse(strings.TrimSuffix(set.url, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("--url %q: expected the URL of a registry, such as http://localhost:5000", set.url)
	}
	p := profile(set.profile)
	if p != profileReleased && p != profileDev && p != profileCloudlets {
		return nil, fmt.Errorf("--profile %q: expected %s, %s or %s", set.profile, profileReleased, profileDev, profileCloudlets)
	}
	if set.repo == set.other {
		return nil, fmt.Errorf("--repo and --repo2 are both %q: expected two repositories", set.repo)
	}
	transport := &authTransport{
		next:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableCompression: true},
		username: set.username, password: set.password,
	}
	return &session{
		base:    base,
		client:  &http.Client{Transport: transport, Timeout: set.timeout},
		profile: p,
		repo:    set.repo,
		other:   set.other,
		id:      strings.ToLower(rand.Text()[:10]),
	}, nil
}

// tag returns a tag that only this run uses.
func (s *session) tag(name string) string { return name + "-" + s.id }

// random returns n bytes that no registry has seen.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, as its documentation says
	return b
}

func blobPath(repo string, d digest.Digest) string { return "/v2/" + repo + "/blobs/" + string(d) }

func uploadsPath(repo string) string { return "/v2/" + repo + "/blobs/uploads/" }

func manifestPath(repo, reference string) string { return "/v2/" + repo + "/manifests/" + reference }

func tagsPath(repo string) string { return "/v2/" + repo + "/tags/list" }

func referrersPath(repo string, d digest.Digest) string {
	return "/v2/" + repo + "/referrers/" + string(d)
}
