package main

import (
	"bytes"
	"net/http"

	"github.com/opencontainers/go-digest"
)

// Sizes of manifests, in bytes.
const (
	acceptedManifest = 4 << 20  // has to be accepted
	hugeManifest     = 32 << 20 // no registry has use for it
)

// manifestSizeGroup pushes manifests of sizes at and beyond the limit.
func manifestSizeGroup() group {
	const section = "Pushing Manifests"
	return group{"manifest-size", []test{
		{"4 MiB", "end-7a", should, section, false, func(t *trial) {
			m := t.paddedManifest(acceptedManifest)
			t.push(m)
			t.wantManifest(m, string(m.digest))
		}},
		{"4 MiB, unsized", "end-7a", should, section, false, func(t *trial) {
			m := t.paddedManifest(acceptedManifest)
			t.deleteLater(manifestPath(t.repo, string(m.digest)))
			t.do("PUT", manifestPath(t.repo, string(m.digest)), m.raw, contentType(m.mediaType), unsized).want(http.StatusCreated)
			t.wantManifest(m, string(m.digest))
		}},
		{"32 MiB", "end-7a", should, section, false, func(t *trial) {
			m := t.paddedManifest(hugeManifest)
			t.deleteLater(manifestPath(t.repo, string(m.digest)))
			t.putManifest(m).want(http.StatusRequestEntityTooLarge)
			t.wantGone(manifestPath(t.repo, string(m.digest)))
		}},
	}}
}

// paddedManifest returns a manifest of a length in bytes.
func (t *trial) paddedManifest(length int) manifest {
	m := t.newImage()
	m.raw = append(m.raw, bytes.Repeat([]byte(" "), length-len(m.raw))...)
	m.digest = digest.FromBytes(m.raw)
	return m
}
