package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
)

// maxBody is how much of an answer is read, in bytes: more than any test pushes.
const maxBody = 64 << 20

// Headers of the specification.
const (
	headerDigest  = "Docker-Content-Digest"
	headerSubject = "OCI-Subject"
	headerTag     = "OCI-Tag"
	headerFilters = "OCI-Filters-Applied"
	headerChunk   = "OCI-Chunk-Min-Length"
)

// option changes a request.
type option func(*http.Request)

func header(key, value string) option {
	return func(r *http.Request) { r.Header.Set(key, value) }
}

func contentType(mediaType string) option { return header("Content-Type", mediaType) }

// unsized hides how long the body is, so that it is sent in chunks of HTTP.
func unsized(r *http.Request) {
	r.ContentLength = -1
	body := r.GetBody
	hide := func() (io.ReadCloser, error) {
		b, err := body()
		return struct{ io.ReadCloser }{b}, err
	}
	r.GetBody = hide
	r.Body, _ = hide() // of bytes in memory: it cannot fail
}

// octets marks a body as a blob's.
func octets(r *http.Request) { r.Header.Set("Content-Type", "application/octet-stream") }

// answer is an answer, read to its end.
type answer struct {
	t       *trial
	request string   // "GET /v2/"
	url     *url.URL // that was asked, after redirects
	status  int
	header  http.Header
	body    []byte
}

// do sends a request and returns what came, once the registry has the time.
// target is a path or a Location.
func (t *trial) do(method, target string, body []byte, options ...option) *answer {
	a := t.send(method, target, body, options)
	for tries := 1; a.status == http.StatusTooManyRequests && tries < maxTries; tries++ {
		a.waitForTurn()
		a = t.send(method, target, body, options)
	}
	a.wantWarningForm()
	return a
}

// send sends a request once.
func (t *trial) send(method, target string, body []byte, options []option) *answer {
	name := method + " " + shorten(strings.TrimPrefix(target, t.base.String()))
	u, err := t.base.Parse(target)
	if err != nil {
		t.failf(name, "a valid URL", "%v", err)
	}
	r, err := http.NewRequestWithContext(t.ctx, method, u.String(), bytes.NewReader(body))
	t.check(err)
	for _, o := range options {
		o(r)
	}
	resp, err := t.client.Do(r)
	if err != nil {
		t.failf(name, "an answer", "%v", err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		t.failf(name, "an answer that ends", "%v", err)
	}
	return &answer{t: t, request: name, url: resp.Request.URL, status: resp.StatusCode, header: resp.Header, body: got}
}

// maxShown is how many characters of a request or an answer are shown.
const maxShown = 200

func shorten(s string) string {
	if len(s) <= maxShown {
		return s
	}
	return s[:maxShown] + "…"
}

// failf ends the test because of this answer.
func (a *answer) failf(want, format string, args ...any) {
	a.t.failf(a.request, want, format, args...)
}

// is says whether the status is one of some.
func (a *answer) is(statuses ...int) bool { return slices.Contains(statuses, a.status) }

// want fails the test unless the status is one of some. An error's JSON has to
// have the specification's form.
func (a *answer) want(statuses ...int) *answer {
	if !a.is(statuses...) {
		a.failf("status "+alternatives(statuses), "status %d %s", a.status, shorten(printable(a.body)))
	}
	if a.status >= http.StatusBadRequest {
		a.wantErrorForm()
	}
	return a
}

func alternatives(statuses []int) string {
	words := make([]string, len(statuses))
	for i, s := range statuses {
		words[i] = strconv.Itoa(s)
	}
	return strings.Join(words, " or ")
}

func printable(b []byte) string { return strings.TrimSpace(strings.ToValidUTF8(string(b), "�")) }

// errorDocument is the specification's form of an error (section Error Codes).
type errorDocument struct {
	Errors []struct {
		Code string `json:"code"`
	} `json:"errors"`
}

// errorCode is the form of a code.
var errorCode = regexp.MustCompile(`^[A-Z_]+$`)

// wantErrorForm fails the test if the answer is JSON of another form. Other
// bodies are allowed, and so is none.
func (a *answer) wantErrorForm() {
	if !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") || len(a.body) == 0 {
		return
	}
	if len(a.codes()) == 0 {
		a.failf(`an error in JSON to be {"errors":[{"code":"…"}]}`, "%s", shorten(printable(a.body)))
	}
	for _, code := range a.codes() {
		if !errorCode.MatchString(code) {
			a.failf("an error code of upper-case letters and underscores", "%q", code)
		}
	}
}

// codes are the codes of an error.
func (a *answer) codes() []string {
	var doc errorDocument
	if json.Unmarshal(a.body, &doc) != nil {
		return nil
	}
	var codes []string
	for _, e := range doc.Errors {
		codes = append(codes, e.Code)
	}
	return codes
}

// wantCode fails the test unless an error has a code.
func (a *answer) wantCode(code string) {
	if !slices.Contains(a.codes(), code) {
		a.failf("the error "+code, "%q", a.codes())
	}
}

// wantHeader fails the test unless a header has a value.
func (a *answer) wantHeader(key, value string) *answer {
	if got := a.header.Get(key); got != value {
		a.failf(fmt.Sprintf("%s: %s", key, value), "%s: %s", key, got)
	}
	return a
}

// wantDigest fails the test if the answer names another digest. That it names
// one is a test of its own.
func (a *answer) wantDigest(d digest.Digest) *answer {
	if a.header.Get(headerDigest) == "" {
		return a
	}
	return a.wantHeader(headerDigest, string(d))
}

// wantLength fails the test unless Content-Length is the length of content.
func (a *answer) wantLength(n int) *answer {
	return a.wantHeader("Content-Length", strconv.Itoa(n))
}

// wantBody fails the test unless the body is the content.
func (a *answer) wantBody(content []byte) *answer {
	if !bytes.Equal(a.body, content) {
		a.failf(fmt.Sprintf("the %d bytes with digest %s", len(content), digest.FromBytes(content)),
			"%d bytes with digest %s", len(a.body), digest.FromBytes(a.body))
	}
	return a
}

// location returns where the answer points, as an absolute URL.
func (a *answer) location() string {
	text := a.header.Get("Location")
	if text == "" {
		a.failf("a Location", "none")
	}
	u, err := a.url.Parse(text)
	if err != nil {
		a.failf("a Location that is a URL", "%q", text)
	}
	return u.String()
}

// nextLink matches the Link header to the next page of a list (RFC 8288).
var nextLink = regexp.MustCompile(`^<([^>]*)>\s*;\s*rel="?next"?$`)

// next returns the URL of the next page, or "".
func (a *answer) next() string {
	text := a.header.Get("Link")
	if text == "" {
		return ""
	}
	m := nextLink.FindStringSubmatch(text)
	if m == nil {
		a.failf(`a Link such as </v2/…>; rel="next"`, "%q", text)
	}
	u, err := a.url.Parse(m[1])
	if err != nil {
		a.failf("a Link to a URL", "%q", text)
	}
	return u.String()
}

// decode reads a document in JSON.
func decode[T any](a *answer) T {
	var v T
	if err := json.Unmarshal(a.body, &v); err != nil {
		a.failf(fmt.Sprintf("a document in JSON (%T)", v), "%v: %s", err, shorten(printable(a.body)))
	}
	return v
}

// withQuery adds a parameter to a path or a Location.
func withQuery(target, key, value string) string {
	separator := "?"
	if strings.Contains(target, "?") {
		separator = "&"
	}
	return target + separator + key + "=" + url.QueryEscape(value)
}

func withDigest(target string, d digest.Digest) string { return withQuery(target, "digest", string(d)) }
