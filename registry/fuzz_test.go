package registry

import (
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// The grammars as the specification spells them, to compare with.
var (
	specName   = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	specTag    = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	specDigest = regexp.MustCompile(`^(sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$`)
)

func FuzzNames(f *testing.F) {
	for _, s := range []string{
		"a", "a/b", "a.b_c__d-e---f/0", "", "/", "a/", "/a", "a//b", "A", "a_", "_a", "a.-b", "a___b", "a..b", "é", "a\n",
		"latest", ".x", "-x", "_", strings.Repeat("a", 128), strings.Repeat("a", 129), strings.Repeat("a", 256),
		"sha256:" + strings.Repeat("0", 64), "sha512:" + strings.Repeat("f", 128), "sha256:" + strings.Repeat("F", 64), "sha256:", ":",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := checkName(s) == nil, specName.MatchString(s) && len(s) <= maxName; got != want {
			t.Errorf("name %q: got %v, want %v", s, got, want)
		}
		if got, want := checkTag(s) == nil, specTag.MatchString(s); got != want {
			t.Errorf("tag %q: got %v, want %v", s, got, want)
		}
		d, err := parseDigest(s)
		if got, want := err == nil, specDigest.MatchString(s); got != want {
			t.Errorf("digest %q: got %v, want %v", s, got, want)
		}
		if err == nil && (d.Validate() != nil || string(d) != s) {
			t.Errorf("digest %q came back as %q", s, d)
		}
	})
}

func FuzzRoute(f *testing.F) {
	for _, s := range []string{
		"", "/", "/v2", "/v2/", "/v2/_catalog", "/v2/a/blobs/uploads/", "/v2/a/blobs/uploads", "/v2/a/blobs/uploads/x",
		"/v2/a/b/manifests/v1", "/v2/a/tags/list", "/v2/a/referrers/sha256:0", "/v2/a/blobs/x", "/v2/a/_cloudlets/frames/x/y",
		"/v2//manifests/x", "/v2/blobs/uploads/blobs/uploads/uploads/uploads", "/v2/a/blobs//", "/v2/_cloudlets/", "/v2/uploads/x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		rt := parseRoute(path)
		// What was taken apart goes together again.
		rebuilt := map[endpoint][]string{
			endpointNone:      {path},
			endpointBase:      {"/v2", "/v2/"},
			endpointCatalog:   {"/v2/_catalog"},
			endpointBlob:      {"/v2/" + rt.name + "/blobs/" + rt.reference},
			endpointUploads:   {"/v2/" + rt.name + "/blobs/uploads", "/v2/" + rt.name + "/blobs/uploads/"},
			endpointUpload:    {"/v2/" + rt.name + "/blobs/uploads/" + rt.reference},
			endpointManifest:  {"/v2/" + rt.name + "/manifests/" + rt.reference},
			endpointTags:      {"/v2/" + rt.name + "/tags/list"},
			endpointReferrers: {"/v2/" + rt.name + "/referrers/" + rt.reference},
			endpointExtension: {"/v2/" + rt.name + "/_cloudlets/" + rt.reference, "/v2/" + rt.name + "/_cloudlets/" + rt.reference + "/" + rt.rest},
		}[rt.endpoint]
		for _, want := range rebuilt {
			if want == path {
				return
			}
		}
		t.Errorf("%q was read as %+v", path, rt)
	})
}

func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-0", "bytes=-5", "bytes=5-", "bytes=9-3", "bytes=0-1,2-3", "bytes=-", "bytes= 1-2", "0-5", "bytes 0-5/10", "bytes 0-5/*", "x",
		"bytes=999999999999999999-", "bytes=9223372036854775808-"} {
		f.Add(s, int64(10))
	}
	f.Fuzz(func(t *testing.T, s string, size int64) {
		if size < 0 {
			return
		}
		part, outcome := parseRange(s, size)
		if outcome == rangePartial && (part.first < 0 || part.first > part.last || part.last >= size) {
			t.Errorf("%q of %d bytes gave %+v", s, size, part)
		}
		chunk, err := parseContentRange(s)
		if err == nil && (chunk.first < 0 || chunk.first > chunk.last || chunk.length() < 1) {
			t.Errorf("the Content-Range %q gave %+v", s, chunk)
		}
	})
}

func FuzzManifest(f *testing.F) {
	empty := digest.FromString("{}")
	for _, s := range []string{
		`{"schemaVersion":2,"config":{"digest":"` + string(empty) + `"},"layers":[{"digest":"` + string(empty) + `","urls":["x"]}]}`,
		`{"schemaVersion":2,"manifests":[{"digest":"` + string(empty) + `"}],"subject":{"digest":"` + string(empty) + `"}}`,
		`{"schemaVersion":2,"mediaType":"x","manifests":null}`, `{}`, `[]`, `null`, ``, `{"schemaVersion":2}{}`,
	} {
		f.Add("application/vnd.oci.image.manifest.v1+json", []byte(s))
		f.Add("application/vnd.oci.image.index.v1+json; charset=utf-8", []byte(s))
		f.Add("", []byte(s))
	}
	f.Fuzz(func(t *testing.T, mediaType string, raw []byte) {
		m, refs, err := parseManifest(mediaType, raw)
		if err != nil {
			if answer := asError(err); answer.Status != 400 || answer.Code != CodeManifestInvalid {
				t.Errorf("got the error %v", err)
			}
			return
		}
		if !json.Valid(raw) || m.Size != int64(len(raw)) || m.MediaType == "" {
			t.Errorf("%q was read as %+v", raw, m)
		}
		for _, r := range refs {
			if !specDigest.MatchString(string(r.Digest)) {
				t.Errorf("a reference to %q", r.Digest)
			}
		}
	})
}

func FuzzQuery(f *testing.F) {
	for _, s := range []string{"n=5&last=a", "n=-1", "n=99999999999999999999", "last=%00", "n=&last=", "digest=sha256:x", "digest-algorithm=sha512", ";", "%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, err := url.ParseQuery(s)
		if err != nil {
			return
		}
		if p, err := parsePage(q); err == nil && (p.n < 0 || p.n > maxPage) {
			t.Errorf("%q is a page of %d entries", s, p.n)
		}
		if id, err := parseEventID(q.Get("last")); err == nil && (id < 0 || id == 0 && q.Get("last") != "") {
			t.Errorf("%q goes on after %d", s, id)
		}
		if d, err := parseDigest(q.Get("digest")); err == nil && d.Validate() != nil {
			t.Errorf("%q has the digest %q", s, d)
		}
		if a, err := parseAlgorithm(q.Get("digest-algorithm")); err == nil && !a.Available() {
			t.Errorf("%q has the algorithm %q", s, a)
		}
	})
}
