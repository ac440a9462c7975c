package main

import (
	"net/http"

	"github.com/opencontainers/go-digest"
)

// mountGroup makes blobs of one repository show in another.
func mountGroup(a digest.Algorithm) group {
	const section = "Mounting a blob from another repository"
	return group{"mounts-" + string(a), []test{
		{"from a repository", "end-11", must, section, false, func(t *trial) {
			content, _ := t.newBlob(a)
			d := t.pushBlob(t.other, a, content)
			t.mounted(t.mount(d, t.other), d)
			t.wantBlob(t.repo, content, d)
		}},
		{"from any repository", "end-11", may, section, false, func(t *trial) {
			content, _ := t.newBlob(a)
			d := t.pushBlob(t.other, a, content)
			t.mounted(t.mount(d, ""), d)
			t.wantBlob(t.repo, content, d)
		}},
		{"missing blob", "end-11", must, section, false, func(t *trial) {
			content, d := t.newBlob(a)
			at := t.mount(d, t.other).want(http.StatusAccepted).location()
			t.do("PUT", withDigest(at, d), content, octets).want(http.StatusCreated)
			t.deleteLater(blobPath(t.repo, d))
			t.wantBlob(t.repo, content, d)
		}},
		{"outlives its source", "end-11", must, section, false, func(t *trial) {
			content, _ := t.newBlob(a)
			d := t.pushBlob(t.other, a, content)
			t.mounted(t.mount(d, t.other), d)
			t.delete(blobPath(t.other, d)).want(http.StatusAccepted)
			t.wantBlob(t.repo, content, d)
			t.wantGone(blobPath(t.other, d))
		}},
	}}
}

// mount asks for a blob of a repository, or of any if that is "".
func (t *trial) mount(d digest.Digest, from string) *answer {
	path := withQuery(uploadsPath(t.repo), "mount", string(d))
	if from != "" {
		path = withQuery(path, "from", from)
	}
	return t.do("POST", path, nil)
}

// mounted skips the test unless the blob was mounted.
func (t *trial) mounted(a *answer, d digest.Digest) {
	if a.is(http.StatusAccepted) {
		t.skipf("the registry wants the blob uploaded: it does not mount like this")
	}
	a.want(http.StatusCreated).wantDigest(d).location()
	t.deleteLater(blobPath(t.repo, d))
}
