package main

import (
	"fmt"
	"net/http"
	"slices"
)

// catalogPages is how many pages of the catalog are asked for at most, or
// nearly.
const catalogPages = 50

// catalogGroup lists repositories: Docker's endpoint, which the specification
// does not have.
func catalogGroup() group {
	const section = "none: Docker's"
	return group{"catalog", []test{
		{"lists the repository", "_catalog", may, section, false, func(t *trial) {
			t.pushTagged("catalog")
			if all, a := t.catalog("/v2/_catalog"); !slices.Contains(all, t.repo) {
				a.failf("the repository "+t.repo, "%d others", len(all))
			}
		}},
		{"pages", "_catalog", may, section, false, func(t *trial) {
			t.pushTagged("catalog")
			t.pushBlob(t.other, algorithms[0], random(smallChunk))
			whole, _ := t.catalog("/v2/_catalog?n=1000")
			n := 1 + len(whole)/catalogPages
			if all, a := t.catalog(fmt.Sprintf("/v2/_catalog?n=%d", n)); !slices.Equal(all, whole) {
				a.failf(fmt.Sprintf("pages of %d to add up to the whole", n), "%q, not %q", all, whole)
			}
		}},
	}}
}

// catalog lists all repositories.
func (t *trial) catalog(path string) ([]string, *answer) {
	if a := t.do("GET", path, nil); a.is(http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed) {
		t.skipf("the registry has no catalog: status %d", a.status)
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
