package main

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/opencontainers/go-digest"
)

// The extension that cloudlets adds to the specification: docs/api.md.

// extensionGroups are the groups of the profile cloudlets.
func extensionGroups() []group {
	return []group{historyGroup(), holdGroup(), removedGroup(), frameGroup(), renderGroup()}
}

func extensionPath(repo, path string) string { return "/v2/" + repo + "/_cloudlets/" + path }

// refused is a test that a request is refused.
func refused(name, section, method, path, body string, status int) test {
	return test{name, section, must, "docs/api.md", false, func(t *trial) {
		t.do(method, extensionPath(t.repo, path), []byte(body), contentType("application/json")).want(status).wantCodes()
	}}
}

// wantCodes fails the test unless an error has a code.
func (a *answer) wantCodes() {
	if len(a.codes()) == 0 {
		a.failf("an error with a code", "%s", shorten(printable(a.body)))
	}
}

// change is one of a tag's history.
type change struct {
	ID       int64         `json:"id"`
	Digest   digest.Digest `json:"digest"`
	Previous digest.Digest `json:"previous"`
	At       string        `json:"at"`
}

func historyGroup() group {
	const end = "history"
	return group{end, []test{
		{"tells every change", end, must, "docs/api.md", false, func(t *trial) {
			tag, digests := t.movedTag("moved")
			changes := decode[struct {
				Name, Tag string
				Events    []change
			}](t.do("GET", extensionPath(t.repo, "history/"+tag), nil).want(http.StatusOK)).Events
			t.wantChanges(changes, digests)
		}},
		{"pages", end, must, "docs/api.md", false, func(t *trial) {
			tag, digests := t.movedTag("paged")
			var changes []change
			t.pages(extensionPath(t.repo, "history/"+tag)+"?n=1", func(a *answer) {
				page := decode[struct{ Events []change }](a).Events
				if len(page) > 1 {
					a.failf("one change on a page", "%d", len(page))
				}
				changes = append(changes, page...)
			})
			t.wantChanges(changes, digests)
		}},
		refused("unknown tag", end, "GET", "history/never-there", "", http.StatusNotFound),
		refused("invalid tag", end, "GET", "history/-bad-", "", http.StatusBadRequest),
		refused("invalid page", end, "GET", "history/x?last=x", "", http.StatusBadRequest),
		refused("changed", end, "DELETE", "history/x", "", http.StatusMethodNotAllowed),
	}}
}

// movedTag points a tag to two manifests, one after the other, and deletes it.
func (t *trial) movedTag(name string) (tag string, digests []digest.Digest) {
	tag = t.tag(name)
	for range 2 {
		m := t.newImage()
		m.tag = tag
		t.push(m)
		digests = append(digests, m.digest)
	}
	t.do("DELETE", manifestPath(t.repo, tag), nil).want(http.StatusAccepted)
	return tag, digests
}

// wantChanges fails the test unless a history is that of movedTag, the newest
// first.
func (t *trial) wantChanges(got []change, digests []digest.Digest) {
	want := []change{{Previous: digests[1]}, {Digest: digests[1], Previous: digests[0]}, {Digest: digests[0]}}
	same := slices.EqualFunc(got, want, func(a, b change) bool { return a.Digest == b.Digest && a.Previous == b.Previous })
	if !same {
		t.failf("", fmt.Sprintf("the changes %+v", want), "%+v", got)
	}
}

func holdGroup() group {
	const end, section = "retention/holds", "docs/api.md"
	return group{"holds", []test{
		{"tag", end, must, section, false, func(t *trial) {
			m := t.pushTagged("held")[0]
			t.hold(m.tag)
			t.do("DELETE", manifestPath(t.repo, m.tag), nil).want(http.StatusForbidden).wantCode("DENIED")
			t.do("DELETE", manifestPath(t.repo, string(m.digest)), nil).want(http.StatusForbidden)
			other := t.newImage()
			t.push(other)
			t.do("PUT", manifestPath(t.repo, m.tag), other.raw, contentType(other.mediaType)).want(http.StatusForbidden)
			t.wantManifest(m, m.tag)
		}},
		{"manifest", end, must, section, false, func(t *trial) {
			m := t.pushTagged("held")[0]
			t.hold(string(m.digest))
			t.do("DELETE", manifestPath(t.repo, string(m.digest)), nil).want(http.StatusForbidden)
		}},
		{"listed", end, must, section, false, func(t *trial) {
			m := t.pushTagged("listed")[0]
			t.hold(m.tag)
			a := t.do("GET", extensionPath(t.repo, "retention/holds"), nil).want(http.StatusOK)
			type hold struct{ Reference, Reason string }
			if holds := decode[[]hold](a); !slices.Contains(holds, hold{m.tag, "conformance"}) {
				a.failf("the hold of "+m.tag, "%+v", holds)
			}
		}},
		{"released", end, must, section, false, func(t *trial) {
			m := t.pushTagged("released")[0]
			t.hold(m.tag)
			t.do("DELETE", extensionPath(t.repo, "retention/holds/"+m.tag), nil).want(http.StatusAccepted)
			t.do("DELETE", manifestPath(t.repo, m.tag), nil).want(http.StatusAccepted)
		}},
		refused("unknown reference", end, "PUT", "retention/holds/never-there", `{"reason":"x"}`, http.StatusNotFound),
		refused("not JSON", end, "PUT", "retention/holds/x", "x", http.StatusBadRequest),
	}}
}

// hold holds a reference until the test ends.
func (t *trial) hold(reference string) {
	path := extensionPath(t.repo, "retention/holds/"+reference)
	t.do("PUT", path, []byte(`{"reason":"conformance"}`), contentType("application/json")).want(http.StatusCreated)
	t.deleteLater(path)
}

func removedGroup() group {
	const end = "retention/removed"
	none := digest.FromString("never there").String()
	return group{"removed", []test{
		{"restored", end, must, "docs/api.md", false, func(t *trial) {
			m := t.pushTagged("removed")[0]
			t.do("DELETE", manifestPath(t.repo, string(m.digest)), nil).want(http.StatusAccepted)
			t.wantGone(manifestPath(t.repo, m.tag))
			a := t.do("GET", extensionPath(t.repo, "retention/removed"), nil).want(http.StatusOK)
			removed := decode[[]struct{ Digest digest.Digest }](a)
			if !slices.Contains(removed, struct{ Digest digest.Digest }{m.digest}) {
				a.failf("the manifest "+string(m.digest), "%d others", len(removed))
			}
			t.do("POST", extensionPath(t.repo, "retention/removed/"+string(m.digest)+"?tag="+m.tag), nil).want(http.StatusCreated)
			t.wantManifest(m, m.tag)
		}},
		refused("unknown digest", end, "POST", "retention/removed/"+none, "", http.StatusNotFound),
		refused("invalid digest", end, "POST", "retention/removed/x", "", http.StatusBadRequest),
	}}
}

func frameGroup() group {
	const end = "frames"
	d := digest.FromString("a layer").String()
	return group{end, []test{
		{"counts layers to share with", end, must, "docs/api.md", false, func(t *trial) {
			t.pushTagged("frames")
			a := t.do("GET", extensionPath(t.repo, "frames"), nil).want(http.StatusOK)
			if n := decode[struct{ Blobs *int }](a).Blobs; n == nil || *n < 0 {
				a.failf(`{"blobs": a number}`, "%s", shorten(printable(a.body)))
			}
		}},
		{"a blob that is there", end, must, "docs/api.md", false, func(t *trial) {
			content := random(smallChunk)
			d := t.pushBlob(t.repo, algorithms[0], content)
			a := t.do("POST", extensionPath(t.repo, "frames/"+string(d)), random(smallChunk))
			if a.is(http.StatusBadRequest) {
				return // an index is looked at first
			}
			if !decode[struct{ Exists bool }](a.want(http.StatusOK)).Exists {
				a.failf(`"exists": true`, "%s", shorten(printable(a.body)))
			}
		}},
		refused("offer of what is no index", end, "POST", "frames/"+d, "no index", http.StatusBadRequest),
		refused("push of what is no index", end, "PUT", "frames/"+d, "no index", http.StatusBadRequest),
		refused("invalid digest", end, "POST", "frames/x", "", http.StatusBadRequest),
	}}
}

func renderGroup() group {
	const end = "renders"
	none := strconv.Quote(digest.FromString("never there").String())
	return group{end, []test{
		refused("unknown image", end, "POST", "renders", `{"image":`+none+`,"format":"raw"}`, http.StatusNotFound),
		refused("unknown format", end, "POST", "renders", `{"image":`+none+`,"format":"floppy"}`, http.StatusBadRequest),
		refused("unknown field", end, "POST", "renders", `{"image":`+none+`,"format":"raw","colour":"red"}`, http.StatusBadRequest),
		refused("not JSON", end, "POST", "renders", `x`, http.StatusBadRequest),
		refused("unknown render", end, "GET", "renders/"+digest.FromString("no key").String(), "", http.StatusNotFound),
	}}
}
