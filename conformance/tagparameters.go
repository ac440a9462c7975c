package main

import (
	"fmt"
	"net/http"
	"slices"
)

// wantedTags is how many tags one push has to be able to set.
const wantedTags = 10

// tagParameterGroup pushes manifests by digest, with tags as parameters.
func tagParameterGroup() group {
	const section = "Pushing Manifests"
	g := group{name: "tag-parameters"}
	for _, a := range algorithms {
		g.tests = append(g.tests, test{string(a), "end-7b", should, section, true, func(t *trial) {
			m := t.newImage()
			m.digest = a.FromBytes(m.raw)
			var tags []string
			for i := range wantedTags {
				tags = append(tags, t.tag(fmt.Sprintf("%s-%d", a, i)))
			}
			t.pushWithTags(m, tags).want(http.StatusCreated)
			for _, tag := range tags {
				t.wantManifest(m, tag)
			}
			t.wantManifest(m, string(m.digest))
		}})
	}
	return group{g.name, append(g.tests,
		test{"invalid tag", "end-7b", must, section, true, func(t *trial) {
			m := t.newImage()
			good := t.tag("good")
			t.pushWithTags(m, []string{good, "-bad-"}).want(http.StatusBadRequest)
			t.wantGone(manifestPath(t.repo, good))
		}},
		test{"very many", "end-7b", must, section, true, func(t *trial) {
			m := t.newImage()
			var tags []string
			for i := range 1000 {
				tags = append(tags, fmt.Sprintf("m%d", i))
			}
			t.pushWithTags(m, tags).want(http.StatusCreated, http.StatusRequestURITooLong)
		}},
	)}
}

// pushWithTags pushes a manifest by its digest, with tags. The test is skipped
// where the registry does not look at them.
func (t *trial) pushWithTags(m manifest, tags []string) *answer {
	path := manifestPath(t.repo, string(m.digest))
	t.deleteLater(path)
	for _, tag := range tags {
		path = withQuery(path, "tag", tag)
	}
	a := t.do("PUT", path, m.raw, contentType(m.mediaType))
	if !a.is(http.StatusCreated) {
		return a
	}
	got := a.header.Values(headerTag)
	if len(got) == 0 {
		t.skipf("the registry does not support tag parameters: there is no %s", headerTag)
	}
	if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(tags))) {
		a.failf(fmt.Sprintf("an %s for each of %q", headerTag, tags), "%q", got)
	}
	return a
}
