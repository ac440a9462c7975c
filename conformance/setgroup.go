package main

import (
	"net/http"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// group returns the tests of a data set: those that can be made of it.
func (s *dataSet) group() group {
	g := group{s.name, []test{
		{"push", "end-7a", s.level, "Pushing Manifests", false, s.push},
	}}
	if len(s.tags()) > 0 {
		g.tests = append(g.tests, test{"tag list", "end-8a", must, "Listing Tags", false, s.testTags})
	}
	g.tests = append(g.tests,
		test{"head", "end-3", must, "Checking if content exists in the registry", false, s.testHead},
		test{"pull", "end-3", must, "Pulling manifests", false, s.testPull},
		test{"digest header", "end-3", must, "Pulling manifests", true, s.testDigestHeader},
	)
	if s.subject != "" {
		g.tests = append(g.tests,
			test{"subject header", "end-7a", must, "Pushing Manifests with Subject", false, s.testSubject},
			test{"referrers", "end-12a", must, "Listing Referrers", false, s.testReferrers},
			test{"referrers by type", "end-12b", should, "Listing Referrers", false, s.testFilter},
		)
	}
	if len(s.tags()) > 0 {
		g.tests = append(g.tests, test{"delete tag", "end-9", must, "Deleting tags", false, s.deleteTags})
	}
	g.tests = append(g.tests, test{"delete manifest", "end-9", must, "Deleting Manifests", false, s.deleteManifests})
	if len(s.blobs) > 0 {
		g.tests = append(g.tests, test{"delete blob", "end-10", must, "Deleting Blobs", false, s.deleteBlobs})
	}
	return g
}

func (s *dataSet) tags() []string {
	var tags []string
	for _, m := range s.manifests {
		if m.tag != "" {
			tags = append(tags, m.tag)
		}
	}
	return tags
}

func (s *dataSet) testTags(t *trial) {
	s.push(t)
	all, a := t.listTags(tagsPath(t.repo))
	for _, tag := range s.tags() {
		if !slices.Contains(all, tag) {
			a.failf("the tag "+tag+" in the list", "%q", all)
		}
	}
}

func (s *dataSet) testHead(t *trial) {
	s.push(t)
	for _, m := range s.manifests {
		for _, reference := range []string{m.reference(), string(m.digest)} {
			t.do("HEAD", manifestPath(t.repo, reference), nil, accept(m.mediaType)).want(http.StatusOK).
				wantDigest(m.digest).wantLength(len(m.raw))
		}
	}
	for _, b := range s.blobs {
		t.do("HEAD", blobPath(t.repo, b.digest), nil).want(http.StatusOK).wantDigest(b.digest).wantLength(len(b.content))
	}
}

// accept says which media type the client understands.
func accept(mediaType string) option { return header("Accept", mediaType) }

func (s *dataSet) testPull(t *trial) {
	s.push(t)
	for _, m := range s.manifests {
		t.wantManifest(m, m.reference())
		t.wantManifest(m, string(m.digest))
	}
	for _, b := range s.blobs {
		t.do("GET", blobPath(t.repo, b.digest), nil).want(http.StatusOK).wantDigest(b.digest).wantBody(b.content)
	}
}

// wantManifest fails the test unless a manifest comes as it was pushed.
func (t *trial) wantManifest(m manifest, reference string) {
	t.do("GET", manifestPath(t.repo, reference), nil, accept(m.mediaType)).want(http.StatusOK).
		wantDigest(m.digest).wantHeader("Content-Type", m.mediaType).wantBody(m.raw)
}

func (s *dataSet) testDigestHeader(t *trial) {
	s.push(t)
	for _, m := range s.manifests {
		for _, reference := range []string{m.reference(), string(m.digest)} {
			for _, method := range []string{"GET", "HEAD"} {
				t.do(method, manifestPath(t.repo, reference), nil, accept(m.mediaType)).want(http.StatusOK).
					wantHeader(headerDigest, string(m.digest))
			}
		}
	}
}

// testSubject pushes what has a subject again: the answer has to name it.
func (s *dataSet) testSubject(t *trial) {
	s.push(t)
	for _, m := range s.manifests {
		if s.isReferrer(m.digest) {
			t.putManifest(m).want(http.StatusCreated).wantHeader(headerSubject, string(s.subject))
		}
	}
}

func (s *dataSet) isReferrer(d digest.Digest) bool {
	return slices.ContainsFunc(s.referrers, func(r ocispec.Descriptor) bool { return r.Digest == d })
}

func (s *dataSet) testReferrers(t *trial) {
	s.push(t)
	t.wantReferrers(referrersPath(t.repo, s.subject), s.referrers)
}

func (s *dataSet) testFilter(t *trial) {
	s.push(t)
	of := func(artifactType string) []ocispec.Descriptor {
		return slices.DeleteFunc(slices.Clone(s.referrers), func(d ocispec.Descriptor) bool { return d.ArtifactType != artifactType })
	}
	for _, artifactType := range []string{exampleType, "application/vnd.example.none"} {
		path := withQuery(referrersPath(t.repo, s.subject), "artifactType", artifactType)
		a := t.do("GET", path, nil).want(http.StatusOK)
		if a.header.Get(headerFilters) == "" {
			t.skipf("the registry does not filter by artifact type: there is no %s", headerFilters)
		}
		a.wantHeader(headerFilters, "artifactType")
		t.wantReferrers(path, of(artifactType))
	}
}

func (s *dataSet) deleteTags(t *trial) {
	s.push(t)
	for _, m := range s.manifests {
		if m.tag == "" {
			continue
		}
		t.delete(manifestPath(t.repo, m.tag)).want(http.StatusAccepted)
		t.wantGone(manifestPath(t.repo, m.tag))
		t.wantManifest(m, string(m.digest))
	}
}

// deleteManifests deletes the manifests, parents first.
func (s *dataSet) deleteManifests(t *trial) {
	s.push(t)
	for _, m := range slices.Backward(s.manifests) {
		t.delete(manifestPath(t.repo, string(m.digest))).want(http.StatusAccepted)
		t.wantGone(manifestPath(t.repo, string(m.digest)))
	}
	s.pushed = false
}

// remove deletes the manifests, whether they are there or not.
func (s *dataSet) remove(t *trial) {
	for _, m := range slices.Backward(s.manifests) {
		t.do("DELETE", manifestPath(t.repo, string(m.digest)), nil)
	}
	s.pushed = false
}

// deleteBlobs deletes the blobs, which no manifest needs any more. The empty
// config stays: it may be that of an artifact of somebody else.
func (s *dataSet) deleteBlobs(t *trial) {
	s.push(t)
	s.remove(t)
	gone := map[digest.Digest]bool{}
	for _, b := range s.blobs {
		if gone[b.digest] || string(b.content) == emptyJSON {
			continue
		}
		gone[b.digest] = true
		t.delete(blobPath(t.repo, b.digest)).want(http.StatusAccepted)
		t.wantGone(blobPath(t.repo, b.digest))
	}
}
