package main

import (
	"net/http"
	"slices"
)

// deleteGroup looks at what deleting leaves, at once.
func deleteGroup() group {
	return group{"deletes", []test{
		{"blob pushed again", "end-10", must, "Deleting Blobs", false, func(t *trial) {
			content := random(smallChunk)
			d := t.pushBlob(t.repo, algorithms[0], content)
			for range 3 {
				t.delete(blobPath(t.repo, d)).want(http.StatusAccepted)
				t.wantGone(blobPath(t.repo, d))
				pushByPut(t, t.repo, content, d).want(http.StatusCreated)
				t.wantBlob(t.repo, content, d)
			}
		}},
		{"blob twice", "end-10", must, "Deleting Blobs", false, func(t *trial) {
			d := t.pushBlob(t.repo, algorithms[0], random(smallChunk))
			t.delete(blobPath(t.repo, d)).want(http.StatusAccepted)
			t.delete(blobPath(t.repo, d)).want(http.StatusNotFound)
		}},
		{"blob of one repository", "end-10", must, "Deleting Blobs", false, func(t *trial) {
			content := random(smallChunk)
			d := t.pushBlob(t.repo, algorithms[0], content)
			t.pushBlob(t.other, algorithms[0], content)
			t.delete(blobPath(t.repo, d)).want(http.StatusAccepted)
			t.wantGone(blobPath(t.repo, d))
			t.wantBlob(t.other, content, d)
		}},
		{"manifest pushed again", "end-9", must, "Deleting Manifests", false, func(t *trial) {
			m := t.pushTagged("again")[0]
			for range 3 {
				t.delete(manifestPath(t.repo, string(m.digest))).want(http.StatusAccepted)
				t.wantGone(manifestPath(t.repo, m.tag))
				t.putManifest(m).want(http.StatusCreated)
				t.wantManifest(m, m.tag)
			}
		}},
		{"manifest twice", "end-9", must, "Deleting Manifests", false, func(t *trial) {
			m := t.pushTagged("twice")[0]
			t.delete(manifestPath(t.repo, string(m.digest))).want(http.StatusAccepted)
			t.delete(manifestPath(t.repo, string(m.digest))).want(http.StatusNotFound)
		}},
	}}
}

// catalogGroup lists repositories: Docker's endpoint, which the specification
// does not have.
func catalogGroup() group {
	const section = "none: Docker's"
	return group{"catalog", []test{
		{"lists the repository", "_catalog", may, section, false, func(t *trial) {
			t.pushTagged("catalog")
			if all, a := t.catalog("/v2/_catalog"); !slices.Contains(all, t.repo) {
				a.fail("the repository "+t.repo, "%d others", len(all))
			}
		}},
		{"pages", "_catalog", may, section, false, func(t *trial) {
			t.pushTagged("catalog")
			t.pushBlob(t.other, algorithms[0], random(smallChunk))
			whole, _ := t.catalog("/v2/_catalog?n=1000")
			if all, a := t.catalog("/v2/_catalog?n=1"); !slices.Equal(all, whole) {
				a.fail("pages of 1 to add up to the whole", "%q, not %q", all, whole)
			}
		}},
	}}
}

// catalog lists all repositories.
func (t *trial) catalog(path string) ([]string, *answer) {
	if a := t.do("GET", path, nil); a.is(http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed) {
		t.skip("the registry has no catalog: status %d", a.status)
	}
	var all []string
	var last *answer
	t.pages(path, func(a *answer) {
		all = append(all, decode[struct {
			Repositories []string `json:"repositories"`
		}](a).Repositories...)
		last = a
	})
	return all, last
}
