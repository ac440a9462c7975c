package main

import (
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxPages bounds how far lists are followed.
const maxPages = 1000

// pages asks for all pages of a list, and calls each with every answer.
func (t *trial) pages(path string, each func(*answer)) {
	for at, n := path, 0; at != ""; n++ {
		a := t.do("GET", at, nil).want(http.StatusOK)
		if n == maxPages {
			a.failf("a list that ends", "more than %d pages", maxPages)
		}
		each(a)
		at = a.next()
	}
}

// wantReferrers fails the test unless a list of referrers has the descriptors,
// in any order, on one page or on several.
func (t *trial) wantReferrers(path string, want []ocispec.Descriptor) {
	var last *answer
	got := map[digest.Digest]ocispec.Descriptor{}
	t.pages(path, func(a *answer) {
		last = a
		index := decode[ocispec.Index](a.wantHeader("Content-Type", ocispec.MediaTypeImageIndex))
		if index.Manifests == nil {
			a.failf("a list of manifests, if only an empty one", "%s", shorten(printable(a.body)))
		}
		for _, d := range index.Manifests {
			got[d.Digest] = d
		}
	})
	for _, w := range want {
		g, ok := got[w.Digest]
		if !ok {
			last.failf("the referrer "+string(w.Digest), "%d others", len(got))
		}
		if !sameDescriptor(g, w) {
			last.failf(fmt.Sprintf("%+v", w), "%+v", g)
		}
	}
	if len(got) != len(want) {
		last.failf(fmt.Sprintf("%d referrers", len(want)), "%d", len(got))
	}
}

// sameDescriptor compares what the specification wants in a list of referrers.
func sameDescriptor(a, b ocispec.Descriptor) bool {
	return a.MediaType == b.MediaType && a.Size == b.Size && a.ArtifactType == b.ArtifactType && maps.Equal(a.Annotations, b.Annotations)
}

// referrersGroup asks about lists of referrers what no data set does.
func referrersGroup() group {
	const section = "Listing Referrers"
	g := group{name: "referrers"}
	for _, bad := range invalidDigests(digest.SHA256) {
		g.tests = append(g.tests, test{"digest " + bad.name, "end-12a", must, section, false, func(t *trial) {
			t.do("GET", "/v2/"+t.repo+"/referrers/"+bad.text, nil).want(http.StatusBadRequest)
		}})
	}
	g.tests = append(g.tests,
		test{"of many", "end-12a", must, section, false, func(t *trial) {
			s := &dataSet{name: "of many", subject: digest.FromBytes(random(16))}
			m := &maker{algorithm: digest.SHA256, set: s}
			addReferrers(m, s, manyReferrers)
			t.check(m.err)
			s.push(t)
			t.cleanup(func() { s.remove(t) })
			t.wantReferrers(referrersPath(t.repo, s.subject), s.referrers)
		}},
		test{"deleted", "end-12a", must, section, false, func(t *trial) {
			s := &dataSet{name: "deleted", subject: digest.FromBytes(random(16))}
			m := &maker{algorithm: digest.SHA256, set: s}
			addReferrers(m, s, 2)
			t.check(m.err)
			s.push(t)
			t.deleteLater(manifestPath(t.repo, string(s.manifests[1].digest)))
			t.delete(manifestPath(t.repo, string(s.manifests[0].digest))).want(http.StatusAccepted)
			t.wantReferrers(referrersPath(t.repo, s.subject), s.referrers[1:])
		}},
		test{"before and after its subject", "end-12a", must, "Pushing Manifests with Subject", false, func(t *trial) {
			s := &dataSet{name: "before"}
			m := &maker{algorithm: digest.SHA256, set: s}
			subject := m.image(nil)
			s.subject = subject.digest
			addReferrers(m, s, 1)
			s.manifests = append(s.manifests, subject)
			addReferrers(m, s, 1)
			t.check(m.err)
			s.push(t)
			t.cleanup(func() { s.remove(t) })
			t.wantReferrers(referrersPath(t.repo, s.subject), s.referrers)
		}},
	)
	return g
}

// manyReferrers are more than fit small pages.
const manyReferrers = 60

// addReferrers adds artifacts whose subject is the set's.
func addReferrers(m *maker, s *dataSet, n int) {
	for range n {
		var annotations map[string]string
		a := m.artifact(func(doc *ocispec.Manifest) {
			doc.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: s.subject, Size: 123}
			doc.Annotations = map[string]string{"org.example.made": strings.Repeat("x", 100)}
			annotations = doc.Annotations
		})
		s.refers(a, exampleType, annotations)
	}
}
