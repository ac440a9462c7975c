package registry_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func decode[T any](t *testing.T, r reply) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(r.body, &v); err != nil {
		t.Fatalf("%v: %s", err, r.body)
	}
	return v
}

// next returns the target of the Link header, or "".
func next(t *testing.T, r reply) string {
	t.Helper()
	link := r.header.Get("Link")
	if link == "" {
		return ""
	}
	target, ok := strings.CutSuffix(link, `>; rel="next"`)
	if !ok || !strings.HasPrefix(target, "<") {
		t.Fatalf("the Link header is %q", link)
	}
	return target[1:]
}

func TestListsWithoutNumberAreRefused(t *testing.T) {
	f := startWithConfig(t)
	do(t, f.url, "GET", "/v2/nowhere/tags/list", nil).wantError(t, 404, "NAME_UNKNOWN")
	r := do(t, f.url, "GET", "/v2/a/tags/list", nil).want(t, 200)
	if want := `{"name":"a","tags":[]}`; string(r.body) != want {
		t.Errorf("got %s, want %s", r.body, want)
	}
	for _, list := range []string{"/v2/a/tags/list", "/v2/_catalog", "/v2/a/referrers/" + string(digest.FromString("x"))} {
		for _, n := range []string{"-1", "x", "1.5", "99999999999999999999"} {
			do(t, f.url, "GET", list+"?n="+n, nil).wantError(t, 400, "PAGINATION_NUMBER_INVALID")
		}
	}
}

// The specification has no number for lists of referrers, only the Link.
func TestReferrersComeByNumber(t *testing.T) {
	f := startWithConfig(t)
	subject := digest.FromString("a subject that is never pushed")
	for i, artifactType := range []string{"application/x", "application/x", "application/y"} {
		raw := manifestJSON(ociManifest, fmt.Sprintf(`,"subject":%s,"artifactType":%q,"annotations":{"k":"%d"}`,
			desc(ociManifest, subject, ""), artifactType, i))
		pushManifest(t, f.url, "a", string(digest.FromBytes(raw)), ociManifest, raw).want(t, 201)
	}
	seen := map[digest.Digest]bool{}
	for at := "/v2/a/referrers/" + string(subject) + "?n=1&artifactType=application/x"; at != ""; {
		r := do(t, f.url, "GET", at, nil).want(t, 200).wantHeader(t, "OCI-Filters-Applied", "artifactType")
		page := decode[ocispec.Index](t, r).Manifests
		if len(page) != 1 {
			t.Fatalf("got a page of %d, want 1", len(page))
		}
		seen[page[0].Digest] = true
		at = next(t, r)
	}
	if len(seen) != 2 {
		t.Errorf("got %d referrers, want 2", len(seen))
	}
}

func TestPathsAndMethods(t *testing.T) {
	f := start(t, nil)
	d := string(digest.FromString("x"))
	long := strings.Repeat("x", 256)
	tests := []struct {
		method, path string
		status       int
		code         string // empty where there is no error
	}{
		{"GET", "/v2/", 200, ""},
		{"GET", "/v2", 200, ""},
		{"HEAD", "/v2/", 200, ""},
		{"POST", "/v2/", 405, "UNSUPPORTED"},
		{"PUT", "/v2/_catalog", 405, "UNSUPPORTED"},
		{"POST", "/v2/a/blobs/" + d, 405, "UNSUPPORTED"},
		{"GET", "/v2/a/blobs/uploads/", 405, "UNSUPPORTED"},
		{"POST", "/v2/a/manifests/v1", 405, "UNSUPPORTED"},
		{"DELETE", "/v2/a/tags/list", 405, "UNSUPPORTED"},
		{"GET", "/", 404, "UNSUPPORTED"},
		{"GET", "/v1/", 404, "UNSUPPORTED"},
		{"GET", "/v2x/", 404, "UNSUPPORTED"},
		{"GET", "/v2/a", 404, "UNSUPPORTED"},
		{"GET", "/v2/a/tags", 404, "UNSUPPORTED"},
		{"GET", "/v2/manifests/v1", 404, "UNSUPPORTED"},
		{"GET", "/v2/a/_cloudlets/none/x", 404, "UNSUPPORTED"},
		{"GET", "/v2/A/manifests/v1", 400, "NAME_INVALID"},
		{"GET", "/v2/a//b/manifests/v1", 400, "NAME_INVALID"},
		{"GET", "/v2/" + long + "/manifests/v1", 400, "NAME_INVALID"},
		{"GET", "/v2/-a/tags/list", 400, "NAME_INVALID"},
		{"POST", "/v2/a___b/blobs/uploads/", 400, "NAME_INVALID"},
		{"GET", "/v2/manifests/manifests/v1", 404, "MANIFEST_UNKNOWN"},
		{"GET", "/v2/a/blobs/uploads/manifests/v1", 404, "MANIFEST_UNKNOWN"},
		{"GET", "/v2/a/blobs/" + d, 404, "BLOB_UNKNOWN"},
		{"GET", "/v2/a/blobs/uploads/blobs/" + d, 404, "BLOB_UNKNOWN"},
		{"GET", "/v2/a/blobs/uploads/none", 404, "BLOB_UPLOAD_UNKNOWN"},
		{"DELETE", "/v2/a/manifests/none", 404, "MANIFEST_UNKNOWN"},
	}
	for _, test := range tests {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			r := do(t, f.url, test.method, test.path, nil)
			r.wantHeader(t, "Docker-Distribution-API-Version", "registry/2.0")
			if test.code == "" {
				r.want(t, test.status)
				return
			}
			r.wantError(t, test.status, test.code)
			if allow := r.header.Get("Allow"); (test.status == 405) != (allow != "") {
				t.Errorf("got Allow: %q", allow)
			}
		})
	}
}
