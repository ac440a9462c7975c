package main

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// manifestGroup asks for manifests that are not there, and pushes such that
// must not be taken.
func manifestGroup() group {
	const push, pull = "Pushing Manifests", "Pulling manifests"
	g := group{"manifests", []test{
		{"get missing digest", "end-3", must, pull, false, func(t *trial) {
			t.wantGone(manifestPath(t.repo, string(digest.FromBytes(random(16)))))
		}},
		{"get missing sha512 digest", "end-3", must, pull, false, func(t *trial) {
			t.wantGone(manifestPath(t.repo, string(digest.SHA512.FromBytes(random(16)))))
		}},
		{"get missing tag", "end-3", must, pull, false, func(t *trial) {
			t.wantGone(manifestPath(t.repo, t.tag("missing")))
		}},
		{"get from missing repository", "end-3", must, pull, false, func(t *trial) {
			t.wantGone(manifestPath(t.repo+"/"+t.id, "v1"))
		}},
		{"delete missing digest", "end-9", must, "Deleting Manifests", false, func(t *trial) {
			t.delete(manifestPath(t.repo, string(digest.FromBytes(random(16))))).want(http.StatusNotFound)
		}},
		{"delete missing tag", "end-9", must, "Deleting tags", false, func(t *trial) {
			t.delete(manifestPath(t.repo, t.tag("missing"))).want(http.StatusNotFound)
		}},
		{"put not JSON", "end-7a", must, push, false, func(t *trial) {
			m := manifest{mediaType: ocispec.MediaTypeImageManifest, raw: []byte("<html>"), tag: t.tag("html")}
			t.putManifest(m).want(http.StatusBadRequest)
			t.wantGone(manifestPath(t.repo, m.tag))
		}},
		{"put with the digest of another", "end-7a", must, push, false, func(t *trial) {
			m := t.newImage()
			m.digest = digest.FromBytes(random(16))
			t.putManifest(m).want(http.StatusBadRequest)
			t.wantGone(manifestPath(t.repo, string(m.digest)))
		}},
		{"put with missing blob", "end-7a", may, "Push", false, func(t *trial) {
			m := t.newManifest(func(doc *ocispec.Manifest) {
				doc.Layers = append(doc.Layers, ocispec.Descriptor{
					MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromBytes(random(16)), Size: 1234,
				})
			})
			a := t.putManifest(m).want(http.StatusCreated, http.StatusBadRequest, http.StatusNotFound)
			if !a.is(http.StatusCreated) {
				a.wantCode("MANIFEST_BLOB_UNKNOWN")
			}
			t.deleteLater(manifestPath(t.repo, string(m.digest)))
		}},
		{"put without mediaType", "end-7a", must, push, false, func(t *trial) {
			m := t.newManifest(func(doc *ocispec.Manifest) { doc.MediaType = "" })
			m.mediaType = ocispec.MediaTypeImageManifest
			t.push(m)
			t.wantManifest(m, string(m.digest))
		}},
		{"put again", "end-7a", must, push, false, func(t *trial) {
			m := t.pushTagged("again")[0]
			t.putManifest(m).want(http.StatusCreated)
			t.wantManifest(m, m.tag)
		}},
		{"tag too long", "end-7a", must, pull, false, func(t *trial) {
			m := t.newImage()
			m.tag = strings.Repeat("x", maxTag+1)
			t.putManifest(m).want(http.StatusBadRequest, http.StatusNotFound)
		}},
		{"tag of wrong characters", "end-7a", must, pull, false, func(t *trial) {
			m := t.newImage()
			m.tag = "-tag+"
			t.putManifest(m).want(http.StatusBadRequest, http.StatusNotFound)
		}},
		{"repository of wrong characters", "end-4a", must, pull, false, func(t *trial) {
			t.do("POST", uploadsPath("Not/Lower_-case"), nil).want(http.StatusBadRequest, http.StatusNotFound)
		}},
	}}
	for _, bad := range invalidDigests(digest.SHA256) {
		g.tests = append(g.tests, bad.manifestTests()...)
	}
	return g
}

// manifestTests are the places of manifests that an invalid digest is put in:
// the reference, and the descriptors.
func (bad invalidDigest) manifestTests() []test {
	asks := []int{http.StatusBadRequest, http.StatusNotFound}
	return []test{
		{"put digest " + bad.name, "end-7a", must, "Pushing Manifests", false, func(t *trial) {
			m := t.newImage()
			m.digest = digest.Digest(bad.text)
			t.putManifest(m).want(http.StatusBadRequest)
		}},
		{"get digest " + bad.name, "end-3", must, "Pulling manifests", false, func(t *trial) {
			t.do("GET", manifestPath(t.repo, bad.text), nil).want(asks...)
		}},
		bad.descriptorTest("config", func(doc *ocispec.Manifest, d ocispec.Descriptor) { doc.Config = d }),
		bad.descriptorTest("layer", func(doc *ocispec.Manifest, d ocispec.Descriptor) { doc.Layers[0] = d }),
		bad.descriptorTest("subject", func(doc *ocispec.Manifest, d ocispec.Descriptor) { doc.Subject = &d }),
	}
}

// descriptorTest pushes a manifest with a descriptor that has the digest.
func (bad invalidDigest) descriptorTest(place string, set func(*ocispec.Manifest, ocispec.Descriptor)) test {
	return test{"put " + place + " digest " + bad.name, "end-7a", should, "Pushing Manifests", false, func(t *trial) {
		d := ocispec.Descriptor{MediaType: exampleType, Digest: digest.Digest(bad.text), Size: 2}
		m := t.newManifest(func(doc *ocispec.Manifest) { set(doc, d) })
		t.deleteLater(manifestPath(t.repo, string(m.digest)))
		a := t.putManifest(m)
		if bad.unregistered && a.is(http.StatusCreated) {
			return // the image specification lets descriptors have any algorithm
		}
		a.want(http.StatusBadRequest)
		t.wantGone(manifestPath(t.repo, string(m.digest)))
	}}
}

// badImageGroup pushes an image whose bytes changed on the way.
func badImageGroup() group {
	g := group{name: "bad-digest-image"}
	for _, a := range algorithms {
		g.tests = append(g.tests, test{"push with " + string(a), "end-7a", must, "Pushing Manifests", false, func(t *trial) {
			m := t.newImage()
			m.digest = a.FromBytes(m.raw)
			m.raw = bytes.Replace(m.raw, []byte("{"), []byte("{ "), 1)
			t.putManifest(m).want(http.StatusBadRequest)
			t.wantGone(manifestPath(t.repo, string(m.digest)))
			t.wantGone(manifestPath(t.repo, string(a.FromBytes(m.raw))))
		}})
	}
	return g
}
