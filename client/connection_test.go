package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/api"
)

// TestSignedURLsAreNotTold has a registry that sends clients to a bucket, which
// refuses, or is gone.
func TestSignedURLsAreNotTold(t *testing.T) {
	const signature = "X-Amz-Signature=0123456789abcdef"
	bucket := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer bucket.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, to := range map[string]string{"refuses": bucket.URL, "is gone": gone.URL} {
		t.Run(name, func(t *testing.T) {
			registry := httptest.NewServer(http.RedirectHandler(to+"/object?"+signature, http.StatusTemporaryRedirect))
			defer registry.Close()
			c, err := New(Options{})
			if err != nil {
				t.Fatal(err)
			}
			repo, err := c.Repository(strings.TrimPrefix(registry.URL, "http://") + "/a:1")
			if err != nil {
				t.Fatal(err)
			}
			ctx := t.Context()
			if name == "is gone" {
				repo.client.auth.Client = http.DefaultClient // does not try again
			}
			_, byOras := repo.Manifest(ctx)
			byUs := repo.call(ctx, http.MethodGet, repo.url("/v2/a/blobs/x"), "", nil, nil)
			for _, err := range []error{byOras, byUs} {
				if err == nil || strings.Contains(err.Error(), signature) || !strings.Contains(err.Error(), "/object") {
					t.Errorf("got the error %v", err)
				}
			}
		})
	}
}

func TestWarningsArePassedOnOnce(t *testing.T) {
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for _, value := range []string{`299 - "use \"new\""`, `299 - "use \"new\""`, "299 - \"back: \u202e\"", `199 - "other"`, `299 - "open`, `299 - "a" "date"`} {
			w.Header().Add("Warning", value)
		}
	}))
	defer registry.Close()
	var told []string
	c, err := New(Options{Warn: func(text string) { told = append(told, text) }})
	if err != nil {
		t.Fatal(err)
	}
	repo, err := c.Repository(strings.TrimPrefix(registry.URL, "http://") + "/a:1")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := repo.call(t.Context(), http.MethodGet, repo.url("/v2/"), "", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{`use "new"`, "back: \uFFFD"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// TestPublicRegistriesDoNotRender has registries that refuse to be written to
// before they say that there is no such path, and one that renders and refuses.
func TestPublicRegistriesDoNotRender(t *testing.T) {
	answers := func(post, get int, code string) *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			w.WriteHeader(map[string]int{http.MethodPost: post, http.MethodGet: get}[req.Method])
			fmt.Fprintf(w, `{"errors": [{"code": %q}]}`, code)
		}))
	}
	tests := map[string]struct {
		registry *httptest.Server
		renders  bool
	}{
		"no such path":            {answers(404, 404, ""), false},
		"not to be written to":    {answers(401, 404, "NOT_FOUND"), false},
		"nothing is allowed":      {answers(403, 403, "DENIED"), false},
		"no such method":          {answers(405, 404, "UNSUPPORTED"), false},
		"renders, and not for us": {answers(403, 404, "MANIFEST_UNKNOWN"), false},
		"cannot, this time":       {answers(422, 404, "MANIFEST_UNKNOWN"), true},
		"is out of order":         {answers(503, 503, ""), true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			defer test.registry.Close()
			c, err := New(Options{})
			if err != nil {
				t.Fatal(err)
			}
			repo, err := c.Repository(strings.TrimPrefix(test.registry.URL, "http://") + "/a:1")
			if err != nil {
				t.Fatal(err)
			}
			repo.client.auth.Client = http.DefaultClient // does not try again
			_, err = repo.Render(t.Context(), api.RenderRequest{Image: "sha256:x"})
			if err == nil || errors.Is(err, ErrNoRenderer) == test.renders {
				t.Errorf("got the error %v", err)
			}
		})
	}
}
