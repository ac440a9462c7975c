package client

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
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
