package main

import (
	"fmt"
	"net/http"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// manifest is a manifest or an index, encoded.
type manifest struct {
	mediaType string
	raw       []byte
	digest    digest.Digest
	tag       string // to push it by; "" to push it by its digest
}

func (m manifest) reference() string {
	if m.tag != "" {
		return m.tag
	}
	return string(m.digest)
}

func (m manifest) descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: m.mediaType, Digest: m.digest, Size: int64(len(m.raw))}
}

// dataSet is content of one kind, which is pushed, listed, pulled and deleted.
type dataSet struct {
	name      string
	level     level // how strong the specification's word for this kind is
	blobs     []blob
	manifests []manifest // children first
	subject   digest.Digest
	referrers []ocispec.Descriptor // as they should be listed
	pushed    bool
	failure   string // of pushing, which is tried once
}

type blob struct {
	digest  digest.Digest
	content []byte
}

func (s *dataSet) addBlob(d digest.Digest, content []byte) {
	s.blobs = append(s.blobs, blob{d, content})
}

// add adds manifests, the last with a tag that only this run uses.
func (s *dataSet) add(tag string, manifests ...manifest) {
	manifests[len(manifests)-1].tag = tag
	s.manifests = append(s.manifests, manifests...)
}

// refers adds a manifest that has a subject, and how it should be listed.
func (s *dataSet) refers(m manifest, artifactType string, annotations map[string]string) {
	d := m.descriptor()
	d.ArtifactType, d.Annotations = artifactType, annotations
	s.manifests = append(s.manifests, m)
	s.referrers = append(s.referrers, d)
}

// kinds are the data sets.
var kinds = []struct {
	name      string
	level     level
	algorithm digest.Algorithm
	make      func(m *maker, s *dataSet, tag string)
}{
	{"image", must, digest.SHA256, func(m *maker, s *dataSet, tag string) { s.add(tag, m.image(nil)) }},
	{"image-uncompressed", must, digest.SHA256, func(m *maker, s *dataSet, tag string) {
		s.add(tag, m.imageWith(ocispec.MediaTypeImageLayer, nil))
	}},
	{"large-manifest", should, digest.SHA256, func(m *maker, s *dataSet, tag string) {
		s.add(tag, m.image(func(doc *ocispec.Manifest) { doc.Annotations = annotations(3_900_000) }))
	}},
	{"index", must, digest.SHA256, func(m *maker, s *dataSet, tag string) { s.add(tag, m.twoImages(nil)...) }},
	{"nested-index", must, digest.SHA256, makeNestedIndex},
	{"empty-index", must, digest.SHA256, func(m *maker, s *dataSet, tag string) { s.add(tag, m.index(nil, nil)) }},
	{"sparse-index", may, digest.SHA256, func(m *maker, s *dataSet, tag string) {
		all := m.twoImages(nil)
		s.add(tag, all[0], all[2]) // the second image is only named
	}},
	{"artifact", must, digest.SHA256, func(m *maker, s *dataSet, tag string) { s.add(tag, m.artifact(nil)) }},
	{"artifact-index", must, digest.SHA256, func(m *maker, s *dataSet, tag string) {
		one, two := m.artifact(nil), m.artifact(nil)
		s.add(tag, one, two, m.index([]manifest{one, two}, func(doc *ocispec.Index) { doc.ArtifactType = exampleType }))
	}},
	{"artifact-without-layers", must, digest.SHA256, func(m *maker, s *dataSet, tag string) {
		s.add(tag, m.artifact(func(doc *ocispec.Manifest) { doc.Layers = []ocispec.Descriptor{doc.Config} }))
	}},
	{"artifacts-with-subject", must, digest.SHA256, makeArtifactsWithSubject},
	{"index-with-subject", must, digest.SHA256, makeIndexWithSubject},
	{"missing-subject", must, digest.SHA256, makeMissingSubject},
	{"data-field", must, digest.SHA256, func(m *maker, s *dataSet, tag string) {
		s.add(tag, m.image(func(doc *ocispec.Manifest) { doc.Config.Data = s.content(doc.Config.Digest) }))
	}},
	{"non-distributable-layers", should, digest.SHA256, makeNonDistributable},
	{"custom-fields", must, digest.SHA256, func(m *maker, s *dataSet, tag string) {
		one := m.withFields(m.image(nil))
		s.add(tag, one, m.withFields(m.index([]manifest{one}, nil)))
	}},
	{"no-layers", must, digest.SHA256, func(m *maker, s *dataSet, tag string) {
		s.add(tag, m.image(func(doc *ocispec.Manifest) { doc.Layers = []ocispec.Descriptor{} }))
	}},
	{"docker-image", may, digest.SHA256, func(m *maker, s *dataSet, tag string) { s.add(tag, m.image(asDocker)) }},
	{"docker-list", may, digest.SHA256, func(m *maker, s *dataSet, tag string) { s.add(tag, m.twoImages(asDocker)...) }},
	{"sha512", should, digest.SHA512, func(m *maker, s *dataSet, _ string) { s.add("", m.twoImages(nil)...) }},
	{"sha512-subject", should, digest.SHA512, makeArtifactsWithSubject},
}

// asDocker gives an image Docker's media types.
func asDocker(doc *ocispec.Manifest) {
	doc.MediaType = dockerManifest
	doc.Config.MediaType = dockerConfig
	for i := range doc.Layers {
		doc.Layers[i].MediaType = dockerLayer
	}
}

// twoImages makes an index and its images, the index last.
func (m *maker) twoImages(change func(*ocispec.Manifest)) []manifest {
	one, two := m.image(change), m.image(change)
	return []manifest{one, two, m.index([]manifest{one, two}, func(doc *ocispec.Index) {
		if one.mediaType == dockerManifest {
			doc.MediaType = dockerList
		}
	})}
}

func makeNestedIndex(m *maker, s *dataSet, tag string) {
	one, two := m.twoImages(nil), m.twoImages(nil)
	s.add("", one...)
	s.add("", two...)
	s.add(tag, m.index([]manifest{one[2], two[2]}, nil))
}

func makeArtifactsWithSubject(m *maker, s *dataSet, tag string) {
	image := m.image(nil)
	s.subject = image.digest
	subject := image.descriptor()
	if m.algorithm != digest.Canonical {
		tag = "" // a tag cannot say which algorithm it wants
	}
	s.add(tag, image)
	s.refers(m.image(func(doc *ocispec.Manifest) { doc.Subject = &subject }), ocispec.MediaTypeImageConfig, nil)
	for _, artifactType := range []string{exampleType, exampleType2} {
		var annotations map[string]string
		a := m.artifact(func(doc *ocispec.Manifest) {
			doc.ArtifactType, doc.Subject, annotations = artifactType, &subject, doc.Annotations
		})
		s.refers(a, artifactType, annotations)
	}
}

func makeIndexWithSubject(m *maker, s *dataSet, tag string) {
	all := m.twoImages(nil)
	s.add(tag, all...)
	subject := all[2].descriptor()
	s.subject = subject.Digest
	annotations := map[string]string{"org.example.made": s.name}
	child := m.artifact(nil)
	s.add("", child)
	s.refers(m.index([]manifest{child}, func(doc *ocispec.Index) {
		doc.ArtifactType, doc.Subject, doc.Annotations = exampleType, &subject, annotations
	}), exampleType, annotations)
}

func makeMissingSubject(m *maker, s *dataSet, _ string) {
	s.subject = digest.FromBytes(random(16))
	var annotations map[string]string
	a := m.artifact(func(doc *ocispec.Manifest) {
		doc.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: s.subject, Size: 123}
		annotations = doc.Annotations
	})
	s.refers(a, exampleType, annotations)
}

func makeNonDistributable(m *maker, s *dataSet, tag string) {
	s.add(tag, m.image(func(doc *ocispec.Manifest) {
		for _, mediaType := range []string{
			"application/vnd.oci.image.layer.nondistributable.v1.tar",
			"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
		} {
			d := digest.FromBytes(random(16))
			doc.Layers = append(doc.Layers, ocispec.Descriptor{
				MediaType: mediaType, Digest: d, Size: 12345,
				URLs: []string{"https://store.example.com/blobs/" + d.Encoded()},
			})
		}
	}))
}

// content returns the content of a blob of the set.
func (s *dataSet) content(d digest.Digest) []byte {
	for _, b := range s.blobs {
		if b.digest == d {
			return b.content
		}
	}
	return nil
}

// dataSets makes the content of all data sets.
func (s *session) dataSets() ([]*dataSet, error) {
	var sets []*dataSet
	for _, kind := range kinds {
		set := &dataSet{name: kind.name, level: kind.level}
		m := &maker{algorithm: kind.algorithm, set: set}
		kind.make(m, set, s.tag(kind.name))
		if m.err != nil {
			return nil, fmt.Errorf("%s: %w", kind.name, m.err)
		}
		sets = append(sets, set)
	}
	return sets, nil
}

// push pushes the set. Where that failed before, the test is skipped.
func (s *dataSet) push(t *trial) {
	if s.pushed {
		return
	}
	if s.failure != "" {
		t.skipf("the data set was not pushed: %s", s.failure)
	}
	s.failure = "a blob was refused"
	for _, b := range s.blobs {
		pushByPut(t, t.repo, b.content, b.digest).want(http.StatusCreated)
	}
	s.failure = "a manifest was refused"
	for _, m := range s.manifests {
		s.pushManifest(t, m)
	}
	s.pushed, s.failure = true, ""
}

func (s *dataSet) pushManifest(t *trial, m manifest) {
	a := t.putManifest(m)
	if s.level == may && a.is(http.StatusBadRequest, http.StatusNotFound, http.StatusUnsupportedMediaType) {
		t.skipf("the registry refuses this kind: %s", shorten(printable(a.body)))
	}
	a.want(http.StatusCreated).wantDigest(m.digest).location()
}

// putManifest pushes a manifest.
func (t *trial) putManifest(m manifest) *answer {
	return t.do("PUT", manifestPath(t.repo, m.reference()), m.raw, contentType(m.mediaType))
}
