package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Media types that image-spec does not name: Docker's
// (distribution/docs/spec/manifest-v2-2.md), and examples of artifacts.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerConfig   = "application/vnd.docker.container.image.v1+json"
	dockerLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	exampleType    = "application/vnd.example.conformance"
	exampleType2   = "application/vnd.example.conformance2"
)

// emptyJSON is the content of the empty config (image-spec, manifest.md, Guidance
// for an Empty Descriptor).
const emptyJSON = "{}"

// maker makes content, and notes what has to be pushed. The first error stays.
type maker struct {
	algorithm digest.Algorithm
	set       *dataSet
	err       error
}

// blob makes a blob.
func (m *maker) blob(mediaType string, content []byte) ocispec.Descriptor {
	d := m.algorithm.FromBytes(content)
	m.set.addBlob(d, content)
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(content))}
}

// layer makes a layer of one file, and returns the digest of its tar too.
func (m *maker) layer(mediaType string) (ocispec.Descriptor, digest.Digest) {
	plain, packed, err := tarOf("file", random(256))
	m.note(err)
	content := packed
	if mediaType == ocispec.MediaTypeImageLayer {
		content = plain
	}
	return m.blob(mediaType, content), m.algorithm.FromBytes(plain)
}

// note keeps the first error.
func (m *maker) note(err error) {
	if m.err == nil {
		m.err = err
	}
}

// tarOf returns a tar with one file, and the same compressed.
func tarOf(name string, content []byte) (plain, packed []byte, err error) {
	var p, z bytes.Buffer
	w := tar.NewWriter(&p)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
		return nil, nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, nil, err
	}
	if err := w.Close(); err != nil {
		return nil, nil, err
	}
	g := gzip.NewWriter(&z)
	if _, err := g.Write(p.Bytes()); err != nil {
		return nil, nil, err
	}
	if err := g.Close(); err != nil {
		return nil, nil, err
	}
	return p.Bytes(), z.Bytes(), nil
}

// image makes an image manifest with two layers. change may change it.
func (m *maker) image(change func(*ocispec.Manifest)) manifest {
	return m.imageWith(ocispec.MediaTypeImageLayerGzip, change)
}

func (m *maker) imageWith(layerType string, change func(*ocispec.Manifest)) manifest {
	var layers []ocispec.Descriptor
	var diffs []digest.Digest
	for range 2 {
		layer, diff := m.layer(layerType)
		layers, diffs = append(layers, layer), append(diffs, diff)
	}
	config := m.json(ocispec.Image{
		Platform: ocispec.Platform{Architecture: "amd64", OS: "linux"},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: diffs},
	})
	doc := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    m.blob(ocispec.MediaTypeImageConfig, config),
		Layers:    layers,
	}
	if change != nil {
		change(&doc)
	}
	return m.manifest(doc.MediaType, doc)
}

// artifact makes an artifact: a manifest with the empty config.
func (m *maker) artifact(change func(*ocispec.Manifest)) manifest {
	return m.image(func(doc *ocispec.Manifest) {
		m.set.blobs = m.set.blobs[:len(m.set.blobs)-3] // the image's
		doc.ArtifactType = exampleType
		doc.Config = m.blob(ocispec.MediaTypeEmptyJSON, []byte(emptyJSON))
		doc.Layers = []ocispec.Descriptor{m.blob(exampleType, random(256))}
		doc.Annotations = map[string]string{"org.example.made": m.set.name}
		if change != nil {
			change(doc)
		}
	})
}

// index makes an index of manifests.
func (m *maker) index(children []manifest, change func(*ocispec.Index)) manifest {
	doc := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{},
	}
	for i, c := range children {
		d := c.descriptor()
		d.Platform = &ocispec.Platform{OS: "linux", Architecture: []string{"amd64", "arm64"}[i%2]}
		doc.Manifests = append(doc.Manifests, d)
	}
	if change != nil {
		change(&doc)
	}
	return m.manifest(doc.MediaType, doc)
}

// manifest encodes a manifest. It is pushed by its digest unless it is tagged.
func (m *maker) manifest(mediaType string, doc any) manifest {
	raw := m.json(doc)
	return m.rawManifest(mediaType, raw)
}

func (m *maker) rawManifest(mediaType string, raw []byte) manifest {
	return manifest{mediaType: mediaType, raw: raw, digest: m.algorithm.FromBytes(raw)}
}

func (m *maker) json(v any) []byte {
	raw, err := json.Marshal(v)
	m.note(err)
	return raw
}

// withFields adds fields to a manifest that no specification knows, and spaces
// it so that nobody's encoder would.
func (m *maker) withFields(from manifest) manifest {
	fields := map[string]any{}
	m.note(json.Unmarshal(from.raw, &fields))
	fields["org.example.unknown"] = map[string]any{"list": []int{1, 2, 3}, "null": nil}
	raw, err := json.MarshalIndent(fields, "\t", "   ")
	m.note(err)
	return m.rawManifest(from.mediaType, append(raw, "\n \n"...))
}

// annotations returns annotations of about n bytes of JSON.
func annotations(n int) map[string]string {
	const each = 10_000
	all := map[string]string{}
	for i := range n / each {
		all[fmt.Sprintf("org.example.annotation-%d", i)] = string(bytes.Repeat([]byte("A"), each-40))
	}
	return all
}
