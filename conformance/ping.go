package main

import (
	"net/http"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// pingGroup asks whether there is a registry at all.
func pingGroup() group {
	return group{"ping", []test{
		{"version check", "end-1", must, "Determining Support", false, func(t *trial) {
			t.do("GET", "/v2/", nil).want(http.StatusOK)
		}},
	}}
}

// emptyGroup asks for what is in a repository that nobody has pushed to.
func emptyGroup() group {
	return group{"empty", []test{
		{"tag list", "end-8a", must, "Listing Tags", false, func(t *trial) {
			a := t.do("GET", tagsPath(t.repo+"/"+t.id), nil).want(http.StatusOK, http.StatusNotFound)
			if a.is(http.StatusNotFound) {
				return // the repository does not exist yet
			}
			if l := decode[tagList](a); len(l.Tags) != 0 {
				a.failf("no tags", "%q", l.Tags)
			}
		}},
		{"referrers", "end-12a", must, "Listing Referrers", false, func(t *trial) {
			a := t.do("GET", referrersPath(t.repo, digest.FromBytes(random(16))), nil).want(http.StatusOK).
				wantHeader("Content-Type", ocispec.MediaTypeImageIndex)
			index := decode[ocispec.Index](a)
			if index.SchemaVersion != 2 || index.MediaType != ocispec.MediaTypeImageIndex || index.Manifests == nil || len(index.Manifests) > 0 {
				a.failf("an image index with an empty list of manifests", "%s", shorten(printable(a.body)))
			}
		}},
	}}
}
