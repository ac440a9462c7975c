package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// suite runs the suite against a handler and returns its exit code and report.
func suite(t *testing.T, h http.HandlerFunc, args ...string) (int, report) {
	t.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), append([]string{"--url", server.URL, "--profile", "dev", "--json"}, args...), &stdout, &stderr)
	var r report
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s%s", err, &stdout, &stderr)
	}
	return code, r
}

// Servers that are no registries, and the tests that each cannot but pass.
func TestWhatIsNoRegistryDoesNotPass(t *testing.T) {
	always := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	missing := func(name string) bool {
		for _, text := range []string{"missing", ", get", ", delete", "get digest", "empty/tag list", "tags/", "manifests/"} {
			if strings.Contains(name, text) {
				return true
			}
		}
		return false
	}
	tests := map[string]struct {
		answer http.HandlerFunc
		passes func(name string) bool
	}{
		"fails":           {always(500, ""), func(string) bool { return false }},
		"is a web server": {always(200, "<html>"), func(name string) bool { return name == "ping/version check" }},
		"accepts":         {always(202, ""), func(string) bool { return false }},
		"creates":         {always(201, ""), func(name string) bool { return name == "empty-index/push" }},
		"has nothing":     {always(404, "{}"), missing},
		"refuses": {always(400, `{"errors":[{"code":"UNSUPPORTED"}]}`), func(name string) bool {
			return missing(name) || strings.Contains(name, "digest") || strings.HasPrefix(name, "uploads-")
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			code, r := suite(t, test.answer)
			if code != exitDeviates {
				t.Errorf("got exit code %d, want %d", code, exitDeviates)
			}
			for _, result := range r.Results {
				if name := result.Group + "/" + result.Test; result.Outcome == passed && !test.passes(name) {
					t.Errorf("%s has passed", name)
				}
				if result.Outcome != passed && result.Finding.Got == "" {
					t.Errorf("%s/%s does not say why it did not pass", result.Group, result.Test)
				}
			}
		})
	}
}

func TestExitCodes(t *testing.T) {
	ok := func(http.ResponseWriter, *http.Request) {}
	ranges := func(w http.ResponseWriter, r *http.Request) { // knows no ranges
		w.Header().Set("Location", r.URL.Path)
		w.WriteHeader(map[string]int{"POST": 202, "PUT": 201, "DELETE": 202, "GET": 200}[r.Method])
	}
	if code, _ := suite(t, ok, "--filter", "ping"); code != exitConforms {
		t.Errorf("all passed: got exit code %d", code)
	}
	code, r := suite(t, ranges, "--filter", "ranges-sha256/0-0")
	if code != exitDeviates || r.count(skipped) != 1 {
		t.Errorf("one skipped: got exit code %d, %+v", code, r.Results)
	}
	for _, args := range [][]string{
		{}, {"--url", "localhost:5000"}, {"--url", "http://x", "--profile", "2"}, {"--url", "http://x", "--filter", "nothing"},
		{"--url", "http://x", "--repo", "a", "--repo2", "a"}, {"--none"}, {"--url", "http://x", "more"},
	} {
		var stderr bytes.Buffer
		if code := run(t.Context(), args, &stderr, &stderr); code != exitUsage || stderr.Len() == 0 {
			t.Errorf("%q: got exit code %d and %q", args, code, &stderr)
		}
	}
}

func TestReportIsWritten(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	path := filepath.Join(t.TempDir(), "junit.xml")
	var stdout, stderr bytes.Buffer
	run(t.Context(), []string{"--url", server.URL, "--filter", "empty/", "--junit", path}, &stdout, &stderr)
	for _, text := range []string{
		"empty  tag list   end-8a    MUST   pass\n",
		"empty  referrers  end-12a   MUST   FAIL\n",
		"FAIL empty/referrers (end-12a, MUST, section \"Listing Referrers\")\n  request:  GET /v2/conformance/one/referrers/sha256:",
		"  expected: status 200\n  came:     status 404 404 page not found\n",
		"profile 1.1: 1 passed, 1 failed, 0 skipped",
	} {
		if !strings.Contains(stdout.String(), text) {
			t.Errorf("got\n%s\nwant %q in it", &stdout, text)
		}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var doc junitSuites
	if err := xml.Unmarshal(content, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Tests != 2 || doc.Failures != 1 || len(doc.Suites) != 1 || len(doc.Suites[0].Cases) != 2 || doc.Suites[0].Cases[1].Failure == nil {
		t.Errorf("got %+v", doc)
	}
}

func TestChallengesAreAnswered(t *testing.T) {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("me:secret"))
	tokens := 0
	var base string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization := r.Header.Get("Authorization")
		switch {
		case r.URL.Path == "/token" && authorization == basic && r.URL.RawQuery == "scope=one&scope=two&service=here":
			tokens++
			fmt.Fprint(w, `{"token":"T"}`)
		case r.URL.Path == "/v2/" && authorization != "Bearer T":
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+base+`/token",service="here",scope="one two"`)
			w.WriteHeader(http.StatusUnauthorized)
		case strings.HasPrefix(r.URL.Path, "/v2/conformance/") && authorization != basic:
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		case strings.HasPrefix(r.URL.Path, "/v2/conformance/"):
			w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
			fmt.Fprintf(w, `{"schemaVersion":2,"mediaType":%q,"manifests":[]}`, ocispec.MediaTypeImageIndex)
		}
	}))
	defer server.Close()
	base = server.URL
	for _, filter := range []string{"ping", "empty/referrers"} {
		for password, want := range map[string]int{"secret": exitConforms, "wrong": exitDeviates} {
			var out bytes.Buffer
			args := []string{"--url", base, "--filter", filter, "--username", "me", "--password", password}
			if code := run(t.Context(), args, &out, &out); code != want {
				t.Errorf("%s with the password %q: got exit code %d\n%s", filter, password, code, &out)
			}
		}
	}
	if tokens != 1 {
		t.Errorf("a token was given %d times", tokens)
	}
}

func TestNamesAreUnique(t *testing.T) {
	s, err := newSession(settings{url: "http://x", profile: "dev", repo: "a", other: "b"})
	if err != nil {
		t.Fatal(err)
	}
	groups, err := allGroups(s)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, g := range groups {
		for _, tt := range g.tests {
			if name := g.name + "/" + tt.name; seen[name] {
				t.Errorf("two tests are named %s", name)
			} else {
				seen[name] = true
			}
			if tt.end == "" || tt.level == "" || tt.section == "" {
				t.Errorf("%s/%s does not say what it rests on", g.name, tt.name)
			}
		}
	}
}

func TestSuiteWaitsForItsTurn(t *testing.T) {
	asked := 0
	code, r := suite(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked < 3 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	}, "--filter", "ping")
	if code != exitConforms || asked != 3 {
		t.Errorf("exit code %d after %d requests: %+v", code, asked, r.Results)
	}
}

func TestRetryAfterIsSecondsOrDate(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"0": 0, "7": 7 * time.Second, "Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0,
	} {
		if got, err := parseRetryAfter(text, now); got != want || err != nil {
			t.Errorf("%q: got %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "soon", "1.5"} {
		if got, err := parseRetryAfter(text, now); err == nil {
			t.Errorf("%q: got %s", text, got)
		}
	}
}
