package registry_test

import (
	"net/http"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/registry"
)

// moveTag points the tag v1 of the repository a to one new manifest for each
// name, and returns their digests.
func moveTag(t *testing.T, base string, names ...string) []digest.Digest {
	t.Helper()
	pushBlob(t, base, "a", []byte("{}"))
	var digests []digest.Digest
	for _, name := range names {
		raw := manifestJSON(ociManifest, `,"annotations":{"name":"`+name+`"}`)
		pushManifest(t, base, "a", "v1", ociManifest, raw).want(t, 201)
		digests = append(digests, digest.FromBytes(raw))
	}
	return digests
}

func TestHistoryOfTagOutlivesIt(t *testing.T) {
	f := start(t, nil)
	d := moveTag(t, f.url, "one", "two", "three")
	do(t, f.url, "DELETE", "/v2/a/manifests/v1", nil).want(t, 202)
	const path = "/v2/a/_cloudlets/history/v1"
	all := decode[api.TagHistory](t, do(t, f.url, "GET", path, nil).want(t, 200))
	var got [][2]digest.Digest
	for _, e := range all.Events {
		if e.Actor != "anonymous" || e.At == "" {
			t.Errorf("got %+v", e)
		}
		got = append(got, [2]digest.Digest{digest.Digest(e.Digest), digest.Digest(e.Previous)})
	}
	want := [][2]digest.Digest{{"", d[2]}, {d[2], d[1]}, {d[1], d[0]}, {d[0], ""}}
	if len(got) != len(want) || all.Name != "a" || all.Tag != "v1" {
		t.Fatalf("got %+v", all)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("event %d: got %v, want %v", i, got[i], want[i])
		}
	}
	var paged []api.TagEvent
	for at := path + "?n=3"; at != ""; {
		r := do(t, f.url, "GET", at, nil).want(t, 200)
		paged = append(paged, decode[api.TagHistory](t, r).Events...)
		at = next(t, r)
	}
	if len(paged) != len(all.Events) || paged[3] != all.Events[3] {
		t.Errorf("the pages give %+v", paged)
	}
}

func TestHistoryRefusesWhatItCannotTell(t *testing.T) {
	f := startWithConfig(t)
	const path = "/v2/a/_cloudlets/history/"
	do(t, f.url, "GET", path+"never", nil).wantError(t, 404, "MANIFEST_UNKNOWN")
	do(t, f.url, "GET", "/v2/nowhere/_cloudlets/history/v1", nil).wantError(t, 404, "MANIFEST_UNKNOWN")
	do(t, f.url, "GET", path, nil).wantError(t, 400, "TAG_INVALID")
	do(t, f.url, "GET", path+"v1?last=x", nil).wantError(t, 400, "PAGINATION_NUMBER_INVALID")
	do(t, f.url, "GET", path+"v1?n=-1", nil).wantError(t, 400, "PAGINATION_NUMBER_INVALID")
	do(t, f.url, "DELETE", path+"v1", nil).wantError(t, 405, "UNSUPPORTED")
}

// reader may only pull.
type reader struct{}

func (reader) Name() string                { return "reader" }
func (reader) May(need registry.Need) bool { return need.Action == registry.ActionPull }

// readers lets everybody through, and tells those with a header Reader for
// readers.
type readers struct{}

func (readers) Authorize(r *http.Request, _ ...registry.Need) (registry.Principal, error) {
	if r.Header.Get("Reader") != "" {
		return reader{}, nil
	}
	return writer{}, nil
}

type writer struct{}

func (writer) Name() string           { return "writer" }
func (writer) May(registry.Need) bool { return true }

func TestHistoryNamesActorsToWhoMayPush(t *testing.T) {
	f := start(t, func(c *registry.Config) { c.Access = readers{} })
	moveTag(t, f.url, "one")
	const path = "/v2/a/_cloudlets/history/v1"
	for header, want := range map[string]string{"Reader": "", "Writer": "writer"} {
		got := decode[api.TagHistory](t, do(t, f.url, "GET", path, nil, func(r *http.Request) { r.Header.Set(header, "x") }).want(t, 200))
		if got.Events[0].Actor != want {
			t.Errorf("%s: got the actor %q, want %q", header, got.Events[0].Actor, want)
		}
	}
}
