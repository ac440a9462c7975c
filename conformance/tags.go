package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// tagList is the answer to end-8.
type tagList struct {
	Name string   `json:"name"`
	Tags []string `json:"tags"`
}

// listTags returns the tags on all pages, and the last page.
func (t *trial) listTags(path string) ([]string, *answer) {
	var all []string
	var last *answer
	t.pages(path, func(a *answer) {
		l := decode[tagList](a)
		if l.Name != t.repo {
			a.failf("the list to have the name "+t.repo, "%q", l.Name)
		}
		all, last = append(all, l.Tags...), a
	})
	return all, last
}

// tagGroup lists tags, moves and deletes them.
func tagGroup() group {
	const section = "Listing Tags"
	return group{"tags", []test{
		{"in order", "end-8a", must, section, false, func(t *trial) {
			t.pushTagged("Upper", "b", "a", "c")
			all, a := t.listTags(tagsPath(t.repo))
			if !sorted(all) {
				a.failf("tags in lexical order", "%q", all)
			}
		}},
		{"pages", "end-8b", must, section, false, func(t *trial) {
			t.pushTagged("p1", "p2", "p3", "p4", "p5")
			whole, _ := t.listTags(tagsPath(t.repo))
			for n := 1; n <= len(whole)+1; n++ {
				t.wantTagPages(n, whole)
			}
		}},
		{"last", "end-8b", must, section, false, func(t *trial) {
			t.pushTagged("l1", "l2", "l3")
			whole, _ := t.listTags(tagsPath(t.repo))
			for i, last := range whole {
				got, a := t.listTags(withQuery(tagsPath(t.repo), "last", last))
				if !slices.Equal(got, whole[i+1:]) {
					a.failf(fmt.Sprintf("%q", whole[i+1:]), "%q", got)
				}
			}
		}},
		{"n of 0", "end-8b", must, section, false, func(t *trial) {
			t.pushTagged("z")
			a := t.do("GET", tagsPath(t.repo)+"?n=0", nil)
			if a.is(http.StatusBadRequest) {
				t.skipf("the registry refuses n=0: %s", shorten(printable(a.body)))
			}
			if l := decode[tagList](a.want(http.StatusOK)); len(l.Tags) != 0 {
				a.failf("no tags", "%q", l.Tags)
			}
			if a.header.Get("Link") != "" {
				a.failf("no Link", "%q", a.header.Get("Link"))
			}
		}},
		{"moved", "end-7a", must, "Pushing Manifests", false, func(t *trial) {
			first := t.pushTagged("moved")[0]
			second := t.pushTagged("moved")[0]
			if first.digest == second.digest {
				t.failf("", "two manifests", "one")
			}
			t.wantManifest(second, second.tag)
			t.wantManifest(first, string(first.digest))
		}},
		{"longest", "end-7a", must, "Pulling manifests", false, func(t *trial) {
			m := t.newImage()
			m.tag = strings.Repeat("x", maxTag-len(t.id)) + t.id
			t.push(m)
			t.wantManifest(m, m.tag)
		}},
		{"deleted, not its manifest", "end-9", must, "Deleting tags", false, func(t *trial) {
			m := t.pushTagged("deleted")[0]
			t.delete(manifestPath(t.repo, m.tag)).want(http.StatusAccepted)
			t.wantGone(manifestPath(t.repo, m.tag))
			t.wantManifest(m, string(m.digest))
			t.delete(manifestPath(t.repo, m.tag)).want(http.StatusNotFound)
		}},
		{"deleted with its manifest", "end-9", must, "Deleting Manifests", false, func(t *trial) {
			m := t.pushTagged("with")[0]
			t.delete(manifestPath(t.repo, string(m.digest))).want(http.StatusAccepted)
			t.wantGone(manifestPath(t.repo, m.tag))
			all, a := t.listTagsIfAny()
			if slices.Contains(all, m.tag) {
				a.failf("no tag "+m.tag, "%q", all)
			}
		}},
	}}
}

// sorted says whether tags are in one of the orders that are allowed: that of
// ASCII, or one without regard to case.
func sorted(tags []string) bool {
	fold := func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) }
	return slices.IsSorted(tags) || slices.IsSortedFunc(tags, fold)
}

// maxTag is how long a tag may be, in characters.
const maxTag = 128

// listTagsIfAny is listTags of a repository that may have no tags left.
func (t *trial) listTagsIfAny() ([]string, *answer) {
	if a := t.do("GET", tagsPath(t.repo), nil); a.is(http.StatusNotFound) {
		return nil, a
	}
	return t.listTags(tagsPath(t.repo))
}

// pushTagged pushes an image for each tag.
func (t *trial) pushTagged(tags ...string) []manifest {
	var all []manifest
	for _, tag := range tags {
		m := t.newImage()
		m.tag = t.tag(tag)
		t.push(m)
		all = append(all, m)
	}
	return all
}

// newImage pushes the blobs of a small image and returns its manifest.
func (t *trial) newImage() manifest {
	return t.newManifest(func(doc *ocispec.Manifest) { doc.ArtifactType = "" })
}

// newManifest pushes the blobs of an artifact and returns its manifest.
func (t *trial) newManifest(change func(*ocispec.Manifest)) manifest {
	s := &dataSet{name: t.id}
	m := &maker{algorithm: digest.Canonical, set: s}
	made := m.artifact(change)
	t.check(m.err)
	for _, b := range s.blobs {
		t.pushBlob(t.repo, b.digest.Algorithm(), b.content)
	}
	return made
}

// push pushes a manifest, which is there until the test ends.
func (t *trial) push(m manifest) {
	t.putManifest(m).want(http.StatusCreated)
	t.deleteLater(manifestPath(t.repo, string(m.digest)))
}

// wantTagPages fails the test unless pages of n tags add up to the whole.
func (t *trial) wantTagPages(n int, whole []string) {
	var all []string
	var last *answer
	t.pages(fmt.Sprintf("%s?n=%d", tagsPath(t.repo), n), func(a *answer) {
		l := decode[tagList](a)
		if len(l.Tags) > n {
			a.failf(fmt.Sprintf("at most %d tags", n), "%q", l.Tags)
		}
		all, last = append(all, l.Tags...), a
	})
	if !slices.Equal(all, whole) {
		last.failf(fmt.Sprintf("pages of %d to add up to %q", n, whole), "%q", all)
	}
}
