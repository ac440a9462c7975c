package registry_test

import (
	"encoding/json"
	"fmt"
	"slices"
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

func TestTagsAreListed(t *testing.T) {
	f := startWithConfig(t)
	type list struct {
		Name string
		Tags []string
	}
	do(t, f.url, "GET", "/v2/nowhere/tags/list", nil).wantError(t, 404, "NAME_UNKNOWN")
	r := do(t, f.url, "GET", "/v2/a/tags/list", nil).want(t, 200)
	if want := `{"name":"a","tags":[]}`; string(r.body) != want {
		t.Errorf("got %s, want %s", r.body, want)
	}
	want := []string{"B", "a", "b", "c", "d"}
	for _, tag := range want {
		pushManifest(t, f.url, "a", tag, ociManifest, manifestJSON(ociManifest, "")).want(t, 201)
	}
	for n := 1; n <= 6; n++ {
		var got []string
		for at := fmt.Sprintf("/v2/a/tags/list?n=%d", n); at != ""; {
			r := do(t, f.url, "GET", at, nil).want(t, 200)
			l := decode[list](t, r)
			if len(l.Tags) > n || l.Name != "a" {
				t.Fatalf("asked for %d, got %+v", n, l)
			}
			got = append(got, l.Tags...)
			at = next(t, r)
		}
		if !slices.Equal(got, want) {
			t.Errorf("by %d: got %q, want %q", n, got, want)
		}
	}
	if got := decode[list](t, do(t, f.url, "GET", "/v2/a/tags/list?last=b", nil)).Tags; !slices.Equal(got, []string{"c", "d"}) {
		t.Errorf("after b: got %q", got)
	}
	r = do(t, f.url, "GET", "/v2/a/tags/list?n=0", nil).want(t, 200)
	if len(decode[list](t, r).Tags) != 0 || next(t, r) != "" {
		t.Errorf("n=0: got %s, %q", r.body, next(t, r))
	}
	for _, n := range []string{"-1", "x", "1.5", "99999999999999999999"} {
		do(t, f.url, "GET", "/v2/a/tags/list?n="+n, nil).wantError(t, 400, "PAGINATION_NUMBER_INVALID")
	}
}

func TestRepositoriesAreListed(t *testing.T) {
	f := start(t, nil)
	names := []string{"a", "a/b", "c"}
	for _, name := range names {
		pushBlob(t, f.url, name, []byte("{}"))
		pushManifest(t, f.url, name, "v1", ociManifest, manifestJSON(ociManifest, "")).want(t, 201)
	}
	var got []string
	for at := "/v2/_catalog?n=2"; at != ""; {
		r := do(t, f.url, "GET", at, nil).want(t, 200)
		got = append(got, decode[struct{ Repositories []string }](t, r).Repositories...)
		at = next(t, r)
	}
	if !slices.Equal(got, names) {
		t.Errorf("got %q, want %q", got, names)
	}
}

func TestReferrersAreListed(t *testing.T) {
	f := startWithConfig(t)
	subject := digest.FromString("a subject that is never pushed")
	path := "/v2/a/referrers/" + string(subject)
	for _, path := range []string{path, "/v2/nowhere/referrers/" + string(subject)} {
		r := do(t, f.url, "GET", path, nil).want(t, 200).wantHeader(t, "Content-Type", ociIndex)
		if index := decode[ocispec.Index](t, r); index.SchemaVersion != 2 || index.MediaType != ociIndex || index.Manifests == nil || len(index.Manifests) != 0 {
			t.Fatalf("the empty list is %s", r.body)
		}
	}
	refers := `,"subject":` + desc(ociManifest, subject, "")
	artifacts := map[string]struct {
		mediaType string
		raw       []byte
		want      string // the artifact type listed
	}{
		"config type":    {ociManifest, manifestJSON(ociManifest, refers), "application/vnd.oci.empty.v1+json"},
		"artifact type":  {ociManifest, manifestJSON(ociManifest, refers+`,"artifactType":"application/x","annotations":{"k":"v"}`), "application/x"},
		"artifact index": {ociIndex, indexJSON(ociIndex, "", refers+`,"artifactType":"application/x","annotations":{"k":"v"}`), "application/x"},
	}
	for _, a := range artifacts {
		pushManifest(t, f.url, "a", string(digest.FromBytes(a.raw)), a.mediaType, a.raw).want(t, 201).
			wantHeader(t, "OCI-Subject", string(subject))
	}
	index := decode[ocispec.Index](t, do(t, f.url, "GET", path, nil).want(t, 200).wantHeader(t, "OCI-Filters-Applied", ""))
	if len(index.Manifests) != len(artifacts) {
		t.Fatalf("got %d referrers, want %d", len(index.Manifests), len(artifacts))
	}
	for name, a := range artifacts {
		i := slices.IndexFunc(index.Manifests, func(d ocispec.Descriptor) bool { return d.Digest == digest.FromBytes(a.raw) })
		if i < 0 {
			t.Errorf("%s is not listed", name)
			continue
		}
		d := index.Manifests[i]
		if d.MediaType != a.mediaType || d.ArtifactType != a.want || d.Size != int64(len(a.raw)) || (d.Annotations["k"] == "v") != (a.want == "application/x") {
			t.Errorf("%s is listed as %+v", name, d)
		}
	}
	r := do(t, f.url, "GET", path+"?artifactType=application%2Fx", nil).want(t, 200).wantHeader(t, "OCI-Filters-Applied", "artifactType")
	if got := len(decode[ocispec.Index](t, r).Manifests); got != 2 {
		t.Errorf("got %d referrers of the type, want 2", got)
	}
	var seen []digest.Digest
	for at := path + "?n=1&artifactType=application/x"; at != ""; {
		r := do(t, f.url, "GET", at, nil).want(t, 200)
		for _, d := range decode[ocispec.Index](t, r).Manifests {
			seen = append(seen, d.Digest)
		}
		at = next(t, r)
	}
	if len(seen) != 2 || seen[0] == seen[1] {
		t.Errorf("by one: got %q", seen)
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
