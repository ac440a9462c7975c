package registry_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// What the specification says is tested by the suite in conformance/, which
// cmd/cloudlets runs. Here is what the specification leaves open: the codes of
// errors, what else is refused, conditional requests, durability.

// reply is an answer, read to its end.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// option changes a request.
type option func(*http.Request)

func header(key, value string) option {
	return func(r *http.Request) { r.Header.Set(key, value) }
}

// unsized hides how long the body is, so that it is sent in chunks of HTTP.
func unsized(r *http.Request) {
	r.ContentLength = -1
	r.Body = io.NopCloser(io.MultiReader(r.Body))
}

// do sends a request. path may be a Location.
func do(t testing.TB, base, method, path string, body []byte, options ...option) reply {
	t.Helper()
	target, err := url.Parse(base)
	if err == nil {
		target, err = target.Parse(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, target.String(), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range options {
		o(r)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return reply{resp.StatusCode, resp.Header, got}
}

// want fails the test unless the answer has the status.
func (r reply) want(t testing.TB, status int) reply {
	t.Helper()
	if r.status != status {
		t.Fatalf("got status %d, want %d: %s", r.status, status, r.body)
	}
	return r
}

// wantError fails the test unless the answer is an error in the specification's
// form with the code.
func (r reply) wantError(t testing.TB, status int, code string) {
	t.Helper()
	r.want(t, status)
	var errs struct {
		Errors []struct{ Code, Message string }
	}
	if err := json.Unmarshal(r.body, &errs); err != nil {
		t.Fatalf("the error %q is not JSON: %v", r.body, err)
	}
	if len(errs.Errors) != 1 || errs.Errors[0].Code != code || errs.Errors[0].Message == "" {
		t.Fatalf("got the error %s, want the code %s and a message", r.body, code)
	}
}

func (r reply) wantHeader(t testing.TB, key, value string) reply {
	t.Helper()
	if got := r.header.Get(key); got != value {
		t.Errorf("got %s: %q, want %q", key, got, value)
	}
	return r
}

func (r reply) location() string { return r.header.Get("Location") }

// withDigest adds the digest parameter to a Location.
func withDigest(location string, d digest.Digest) string {
	separator := "?"
	if strings.Contains(location, "?") {
		separator = "&"
	}
	return location + separator + "digest=" + url.QueryEscape(string(d))
}

// pushBlob pushes a blob with one request and returns its digest.
func pushBlob(t testing.TB, base, name string, content []byte) digest.Digest {
	t.Helper()
	d := digest.FromBytes(content)
	do(t, base, "POST", withDigest("/v2/"+name+"/blobs/uploads/", d), content).want(t, 201)
	return d
}

// pushManifest pushes a manifest by tag or digest.
func pushManifest(t testing.TB, base, name, reference, mediaType string, raw []byte) reply {
	t.Helper()
	return do(t, base, "PUT", "/v2/"+name+"/manifests/"+reference, raw, header("Content-Type", mediaType))
}

// pushImage pushes an image with all its blobs.
func pushImage(t testing.TB, base, name, tag string, img testImage) {
	t.Helper()
	for _, content := range img.blobs {
		pushBlob(t, base, name, content)
	}
	pushManifest(t, base, name, tag, ociManifest, img.manifest).want(t, 201)
}

const (
	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	ociIndex    = "application/vnd.oci.image.index.v1+json"
)
