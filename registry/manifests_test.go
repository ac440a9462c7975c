package registry_test

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// desc is a descriptor in JSON.
func desc(mediaType string, d digest.Digest, extra string) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":2%s}`, mediaType, d, extra)
}

// manifestJSON is an image manifest with the empty config, which has to be
// there, and further fields.
func manifestJSON(mediaType, extra string) []byte {
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[]%s}`,
		mediaType, desc("application/vnd.oci.empty.v1+json", digest.FromString("{}"), ""), extra)
}

func indexJSON(mediaType, manifests, extra string) []byte {
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[%s]%s}`, mediaType, manifests, extra)
}

// startWithConfig starts a registry where the repository "a" holds "{}".
func startWithConfig(t *testing.T) *fixture {
	t.Helper()
	f := start(t, nil)
	pushBlob(t, f.url, "a", []byte("{}"))
	return f
}

// wantManifest fails the test unless GET and HEAD give the manifest.
func wantManifest(t *testing.T, base, path, mediaType string, raw []byte, d digest.Digest) {
	t.Helper()
	for _, method := range []string{"GET", "HEAD"} {
		r := do(t, base, method, path, nil).want(t, 200).
			wantHeader(t, "Docker-Content-Digest", string(d)).
			wantHeader(t, "Content-Length", strconv.Itoa(len(raw))).
			wantHeader(t, "Content-Type", mediaType)
		if method == "GET" && !bytes.Equal(r.body, raw) {
			t.Fatalf("got other bytes:\n%s\nwant\n%s", r.body, raw)
		}
	}
}

func TestBadManifestsAreRefused(t *testing.T) {
	f := startWithConfig(t)
	ok := manifestJSON(ociManifest, "")
	absent := digest.FromString("absent")
	withLayer := func(layer string) []byte {
		return bytes.Replace(ok, []byte(`"layers":[]`), []byte(`"layers":[`+layer+`]`), 1)
	}
	tests := map[string]struct {
		reference, mediaType string
		raw                  []byte
		status               int
		code                 string
	}{
		"not JSON":            {"v1", ociManifest, []byte("<html>"), 400, "MANIFEST_INVALID"},
		"empty":               {"v1", ociManifest, nil, 400, "MANIFEST_INVALID"},
		"two values":          {"v1", ociManifest, append(slices.Clone(ok), ok...), 400, "MANIFEST_INVALID"},
		"schema 1":            {"v1", ociManifest, []byte(`{"schemaVersion":1}`), 400, "MANIFEST_INVALID"},
		"no config":           {"v1", ociManifest, []byte(`{"schemaVersion":2}`), 400, "MANIFEST_INVALID"},
		"unknown type":        {"v1", "application/json", bytes.Replace(ok, []byte(`"mediaType":"`+ociManifest+`",`), nil, 1), 400, "MANIFEST_INVALID"},
		"no type":             {"v1", "", bytes.Replace(ok, []byte(`"mediaType":"`+ociManifest+`",`), nil, 1), 400, "MANIFEST_INVALID"},
		"two types":           {"v1", ociIndex, ok, 400, "MANIFEST_INVALID"},
		"manifest and index":  {"v1", ociManifest, bytes.Replace(ok, []byte(`"layers"`), []byte(`"manifests":[],"layers"`), 1), 400, "MANIFEST_INVALID"},
		"index and manifest":  {"v1", ociIndex, indexJSON(ociIndex, "", `,"layers":[]`), 400, "MANIFEST_INVALID"},
		"bad layer digest":    {"v1", ociManifest, withLayer(desc("x", "sha256:abc", "")), 400, "MANIFEST_INVALID"},
		"bad subject":         {"v1", ociManifest, manifestJSON(ociManifest, `,"subject":{"digest":"x"}`), 400, "MANIFEST_INVALID"},
		"negative size":       {"v1", ociManifest, withLayer(strings.Replace(desc("x", absent, ""), `"size":2`, `"size":-2`, 1)), 400, "MANIFEST_INVALID"},
		"absent layer":        {"v1", ociManifest, withLayer(desc("x", absent, "")), 400, "MANIFEST_BLOB_UNKNOWN"},
		"other digest":        {string(absent), ociManifest, ok, 400, "DIGEST_INVALID"},
		"invalid digest":      {"sha256:abc", ociManifest, ok, 400, "DIGEST_INVALID"},
		"invalid tag":         {".tag", ociManifest, ok, 400, "TAG_INVALID"},
		"long tag":            {strings.Repeat("x", 129), ociManifest, ok, 400, "TAG_INVALID"},
		"invalid further tag": {"v1?tag=-", ociManifest, ok, 400, "TAG_INVALID"},
		"too long":            {"v1", ociManifest, bytes.Repeat([]byte(" "), 4<<20+1), 413, "MANIFEST_INVALID"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pushManifest(t, f.url, "a", test.reference, test.mediaType, test.raw).wantError(t, test.status, test.code)
		})
	}
	r := do(t, f.url, "PUT", "/v2/a/manifests/v1", bytes.Repeat([]byte(" "), 4<<20+1), unsized, header("Content-Type", ociManifest))
	r.wantError(t, 413, "MANIFEST_INVALID")
	do(t, f.url, "GET", "/v2/a/tags/list", nil).want(t, 200)
	do(t, f.url, "GET", "/v2/a/manifests/v1", nil).wantError(t, 404, "MANIFEST_UNKNOWN")
	do(t, f.url, "GET", "/v2/a/manifests/sha256:abc", nil).wantError(t, 400, "DIGEST_INVALID")
}

func TestBlobOfManifestIsNotDeleted(t *testing.T) {
	f := startWithConfig(t)
	raw := manifestJSON(ociManifest, "")
	pushManifest(t, f.url, "a", "v1", ociManifest, raw).want(t, 201)
	path := "/v2/a/blobs/" + string(digest.FromString("{}"))
	do(t, f.url, "DELETE", path, nil).wantError(t, 409, "DENIED")
	do(t, f.url, "HEAD", path, nil).want(t, 200)
	do(t, f.url, "DELETE", "/v2/a/manifests/v1", nil).want(t, 202)
	do(t, f.url, "DELETE", path, nil).wantError(t, 409, "DENIED") // the tag went, not the manifest
	do(t, f.url, "DELETE", "/v2/a/manifests/"+string(digest.FromBytes(raw)), nil).want(t, 202)
	do(t, f.url, "DELETE", path, nil).want(t, 202)
}

func TestTooManyTagParametersAreRefused(t *testing.T) {
	f := startWithConfig(t)
	many := strings.Repeat("&tag=x", 101)
	pushManifest(t, f.url, "a", "v1?"+many[1:], ociManifest, manifestJSON(ociManifest, "")).wantError(t, 414, "TAG_INVALID")
}

func TestManifestIsNotSentAgain(t *testing.T) {
	f := startWithConfig(t)
	pushManifest(t, f.url, "a", "v1", ociManifest, manifestJSON(ociManifest, "")).want(t, 201)
	etag := do(t, f.url, "GET", "/v2/a/manifests/v1", nil).want(t, 200).header.Get("ETag")
	do(t, f.url, "GET", "/v2/a/manifests/v1", nil, header("If-None-Match", `"x", W/`+etag)).want(t, 304)
	do(t, f.url, "GET", "/v2/a/manifests/v1", nil, header("If-None-Match", `"x"`)).want(t, 200)
}
