package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// buildConformance builds the suite and returns the command's path.
func buildConformance(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "conformance")
	if out, err := exec.Command("go", "build", "-o", path, "../../conformance").CombinedOutput(); err != nil {
		t.Fatalf("build the suite: %v\n%s", err, out)
	}
	return path
}

// conformance runs the suite and says whether the registry conforms.
func conformance(t *testing.T, suite string, args ...string) (conforms bool, output string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	r := finish(t, exec.CommandContext(ctx, suite, args...))
	if r.code > 1 {
		t.Fatalf("the suite did not run: exit code %d\n%s", r.code, r.stderr)
	}
	return r.code == 0, r.stdout
}

// TestRegistryConforms runs the suite against both back ends.
func TestRegistryConforms(t *testing.T) {
	suite := buildConformance(t)
	for name, start := range map[string]func(*testing.T) *server{
		"files":  func(t *testing.T) *server { return newServer(t) },
		"bucket": func(t *testing.T) *server { return newNode(t, newBucket(t, "64m")).server },
	} {
		for _, profile := range []string{"1.1", "dev"} {
			t.Run(name+"/"+profile, func(t *testing.T) {
				s := start(t)
				conforms, output := conformance(t, suite, "--url", "http://"+s.host, "--profile", profile)
				if !conforms || !strings.Contains(output, " 0 failed, 0 skipped") {
					t.Errorf("%s", output)
				}
			})
		}
	}
}

// change changes an answer.
type change func(*http.Response)

// fault is a mistake that a registry could make, made by a proxy.
type fault struct {
	test    string // that has to find it
	lacks   string // a header that no answer has
	request func(*http.Request)
	answer  change
}

func (f fault) proxy(t *testing.T, host string) string {
	t.Helper()
	target := &url.URL{Scheme: "http", Host: host}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			if f.request != nil {
				f.request(r.Out)
			}
		},
		ModifyResponse: func(r *http.Response) error {
			r.Header.Del(f.lacks)
			if f.answer != nil {
				f.answer(r)
			}
			return nil
		},
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return server.URL
}

// answering answers requests of a method and path with another status.
func answering(method, path string, from, to int) change {
	return func(r *http.Response) {
		if r.Request.Method == method && strings.Contains(r.Request.URL.Path, path) && r.StatusCode == from {
			r.StatusCode = to
		}
	}
}

// changing changes the bodies that GET of a path answers.
func changing(path string, edit func([]byte) []byte) change {
	return func(r *http.Response) {
		if r.Request.Method != http.MethodGet || !strings.Contains(r.Request.URL.Path, path) {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		body = edit(body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.ContentLength = int64(len(body))
		r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	}
}

// recoded encodes a manifest as a registry would that keeps what it has read.
func recoded(raw []byte) []byte {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return raw
	}
	if again, err := json.Marshal(v); err == nil {
		return again
	}
	return raw
}

// recodedAlways changes any content.
func recodedAlways(raw []byte) []byte { return append(raw, '\n') }

// notDeleted keeps a DELETE of a path from the registry.
func notDeleted(path string) func(*http.Request) {
	return func(r *http.Request) {
		if r.Method == http.MethodDelete && strings.Contains(r.URL.Path, path) {
			r.Method = http.MethodHead
		}
	}
}

func TestSuiteFindsFaultsOfExtension(t *testing.T) {
	suite := buildConformance(t)
	faults := map[string]fault{
		"none":               {},
		"no history":         {test: "history/", answer: answering("GET", "/history/", 200, 404)},
		"one page":           {test: "history/pages", lacks: "Link"},
		"holds for show":     {test: "holds/tag", answer: answering("DELETE", "/manifests/", 403, 202)},
		"holds for ever":     {test: "holds/released", request: notDeleted("/holds/")},
		"no way back":        {test: "removed/restored", answer: answering("POST", "/removed/", 201, 404)},
		"frames of anything": {test: "frames/offer", answer: answering("POST", "/frames/", 400, 200)},
		"renders anything":   {test: "renders/unknown", answer: answering("POST", "/renders", 400, 202)},
	}
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			conforms, output := conformance(t, suite, "--url", f.proxy(t, newServer(t).host), "--profile", "cloudlets", "--filter", f.test)
			if conforms != (name == "none") {
				t.Errorf("the suite has said:\n%s", output)
			}
		})
	}
}

func TestSuiteFindsFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a registry for each of many faults")
	}
	suite := buildConformance(t)
	faults := map[string]fault{
		"none":                       {},
		"no digest of a blob":        {test: "blobs-sha256/digest header", lacks: "Docker-Content-Digest"},
		"no digest of a manifest":    {test: "image/digest header", lacks: "Docker-Content-Digest"},
		"no subject":                 {test: "artifacts-with-subject/subject header", lacks: "Oci-Subject"},
		"no filter":                  {test: "artifacts-with-subject/referrers by type", lacks: "Oci-Filters-Applied"},
		"no further pages":           {test: "tags/pages", lacks: "Link"},
		"no location":                {test: "blobs-sha512/post and put", lacks: "Location"},
		"no tags of parameters":      {test: "tag-parameters/sha256", lacks: "Oci-Tag"},
		"no ranges":                  {test: "ranges-sha256/500-1499", request: func(r *http.Request) { r.Header.Del("Range") }},
		"chunks in any order":        {test: "uploads-sha256/chunks out of order", request: func(r *http.Request) { r.Header.Del("Content-Range") }},
		"a range that is not there":  {test: "ranges-sha256/5000-10000", answer: answering("GET", "/blobs/", 416, 206)},
		"failing over a digest":      {test: "bad-digest-sha256/no digits, put", answer: answering("PUT", "/blobs/", 400, 500)},
		"failing over a manifest":    {test: "manifests/put not JSON", answer: answering("PUT", "/manifests/", 400, 500)},
		"failing over the missing":   {test: "manifests/get missing tag", answer: answering("GET", "/manifests/", 404, 500)},
		"no list of referrers":       {test: "empty/referrers", answer: answering("GET", "/referrers/", 200, 404)},
		"no anonymous mount":         {test: "mounts-sha256/from any repository", answer: answering("POST", "/uploads/", 201, 202)},
		"a manifest encoded again":   {test: "custom-fields/pull", answer: changing("/manifests/", recoded)},
		"a manifest of another type": {test: "docker-image/pull", answer: func(r *http.Response) { r.Header.Set("Content-Type", "application/json") }},
		"a list without names": {test: "tags/in order", answer: changing("/tags/list", func([]byte) []byte {
			return []byte(`{"tags":["c","a"]}`)
		})},
		"errors of another form": {test: "manifests/get missing tag", answer: changing("/manifests/", func([]byte) []byte {
			return []byte(`{"error":"not found"}`)
		})},
		"a proxy of anybody": {test: "proxying/manifest", answer: func(r *http.Response) {
			r.Header.Set("Oci-Namespace", r.Request.URL.Query().Get("ns"))
		}},
		"other content for a proxy": {test: "proxying/blob", answer: changing("/blobs/", recodedAlways)},
		"a warning with a date":     {test: "ping", answer: func(r *http.Response) { r.Header.Set("Warning", `299 - "x" "Sat, 25 Aug 2012 23:34:45 GMT"`) }},
		"warnings without end":      {test: "ping", answer: func(r *http.Response) { r.Header.Set("Warning", `299 - "`+strings.Repeat("x", 5000)+`"`) }},
		"busy, for how long?":       {test: "ping", answer: answering("GET", "/v2/", 200, 429)},
		"a manifest kept":           {test: "image/delete manifest", request: notDeleted("/manifests/"), answer: answering("HEAD", "/manifests/", 200, 202)},
		"a blob kept":               {test: "blobs-sha256/delete", request: notDeleted("/blobs/sha256"), answer: answering("HEAD", "/blobs/", 200, 202)},
		"an upload kept":            {test: "uploads-sha256/cancel", request: notDeleted("/uploads/"), answer: answering("HEAD", "/uploads/", 405, 204)},
	}
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			conforms, output := conformance(t, suite, "--url", f.proxy(t, newServer(t).host), "--profile", "dev", "--filter", f.test)
			if conforms != (name == "none") {
				t.Errorf("the suite has said:\n%s", output)
			}
		})
	}
}
