package registry_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// testImage is a small image: a config, two layers and the manifest.
type testImage struct {
	blobs    map[digest.Digest][]byte
	manifest []byte
	digest   digest.Digest
}

// newImage makes an image whose content depends on seed.
func newImage(t testing.TB, seed string) testImage {
	t.Helper()
	img := testImage{blobs: map[digest.Digest][]byte{}}
	var layers []ocispec.Descriptor
	var diffs []digest.Digest
	for _, name := range []string{"base-" + seed, "top-" + seed} {
		content, diff := newLayer(t, name)
		layers = append(layers, img.add(ocispec.MediaTypeImageLayerGzip, content))
		diffs = append(diffs, diff)
	}
	config := marshal(t, ocispec.Image{
		Platform: ocispec.Platform{Architecture: "amd64", OS: "linux"},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: diffs},
	})
	img.manifest = marshal(t, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    img.add(ocispec.MediaTypeImageConfig, config),
		Layers:    layers,
	})
	img.digest = digest.FromBytes(img.manifest)
	return img
}

func (img testImage) add(mediaType string, content []byte) ocispec.Descriptor {
	d := digest.FromBytes(content)
	img.blobs[d] = content
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(content))}
}

// newLayer makes a gzipped tar of one file, and the digest of the tar.
func newLayer(t testing.TB, name string) (gzipped []byte, diff digest.Digest) {
	t.Helper()
	var plain, packed bytes.Buffer
	w := tar.NewWriter(&plain)
	content := bytes.Repeat([]byte(name+"\n"), 1000)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(plain.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes(), digest.FromBytes(plain.Bytes())
}

// writeLayout writes an OCI image layout with an image tagged v1 and returns the
// image's manifest.
func writeLayout(t testing.TB, dir string) []byte {
	t.Helper()
	img := newImage(t, "layout")
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{
		filepath.Join(dir, "oci-layout"): []byte(`{"imageLayoutVersion":"1.0.0"}`),
		filepath.Join(dir, "index.json"): marshal(t, ocispec.Index{
			Versioned: specs.Versioned{SchemaVersion: 2},
			Manifests: []ocispec.Descriptor{{
				MediaType:   ocispec.MediaTypeImageManifest,
				Digest:      img.digest,
				Size:        int64(len(img.manifest)),
				Annotations: map[string]string{ocispec.AnnotationRefName: "v1"},
			}},
		}),
		filepath.Join(blobs, img.digest.Encoded()): img.manifest,
	}
	for d, content := range img.blobs {
		files[filepath.Join(blobs, d.Encoded())] = content
	}
	for path, content := range files {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return img.manifest
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
