package main

import (
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// negotiationGroup asks for manifests with Accept headers that clients send.
func negotiationGroup() group {
	all := strings.Join([]string{
		ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest, dockerList, dockerManifest, "*/*",
	}, ", ")
	requests := []struct {
		name   string
		accept []string
	}{
		{"exactly", nil}, // the type of what was pushed
		{"one header of many", []string{all}},
		{"many headers", strings.Split(all, ", ")},
		{"with weights", []string{strings.ReplaceAll(all, ",", ";q=0.5,")}},
	}
	g := group{name: "negotiation"}
	for _, kind := range []struct {
		name   string
		change func(*ocispec.Manifest)
	}{{"oci", nil}, {"docker", asDocker}} {
		for _, request := range requests {
			name := kind.name + ", accept " + request.name
			g.tests = append(g.tests, test{name, "end-3", should, "Pulling manifests", false, func(t *trial) {
				for _, m := range t.pushIndex(kind.change) {
					t.wantNegotiated(m, request.accept)
				}
			}})
		}
	}
	return g
}

// pushIndex pushes an index and its images.
func (t *trial) pushIndex(change func(*ocispec.Manifest)) []manifest {
	s := &dataSet{name: t.id}
	m := &maker{algorithm: digest.Canonical, set: s}
	s.add(t.tag("negotiated"), m.twoImages(change)...)
	t.check(m.err)
	s.push(t)
	t.cleanup(func() { s.remove(t) })
	return s.manifests
}

// wantNegotiated fails the test unless a manifest comes with its own type.
func (t *trial) wantNegotiated(m manifest, accept []string) {
	if accept == nil {
		accept = []string{m.mediaType}
	}
	t.do("GET", manifestPath(t.repo, m.reference()), nil, func(r *http.Request) { r.Header["Accept"] = accept }).
		want(http.StatusOK).wantHeader("Content-Type", m.mediaType).wantBody(m.raw)
}
