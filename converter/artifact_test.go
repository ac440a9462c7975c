package converter

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

// derived returns an artifact of two files, and their descriptors.
func derived(t *testing.T, p Package) (a Artifact, layers []ocispec.Descriptor) {
	t.Helper()
	image := digest.FromString("image")
	parameters, key, err := Derivation{Converter: Version, Image: image, Format: formatRaw}.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	a = Artifact{
		Subject: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: image, Size: 5}, Parameters: parameters, Key: key,
		Output: Output{Package: p, ArtifactType: api.ArtifactKind(TypeDisk, "test")},
	}
	a.Output.Report.CommandLine = "quiet"
	a.Output.Boot, a.Output.Notes = []string{"bios", "uefi"}, []string{`it lacks "x"`}
	for _, name := range []string{"a", "b"} {
		var b extent.Builder
		b.Inline([]byte(name))
		m, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		f := File{Name: name, MediaType: "application/test", Map: m, DiskType: "type-" + name}
		a.Output.Files = append(a.Output.Files, f)
		layers = append(layers, f.Layer(digest.FromString(name)))
	}
	return a, layers
}

func TestWhatStandsForAnArtifactSaysWhatItWasMadeFrom(t *testing.T) {
	for _, p := range []Package{PackageArtifact, PackageImage, PackageIndex} {
		t.Run(string(p), func(t *testing.T) {
			a, layers := derived(t, p)
			documents, err := a.Documents(layers)
			if err != nil {
				t.Fatal(err)
			}
			last := documents[len(documents)-1]
			var m ocispec.Manifest
			if err := json.Unmarshal(last.Raw, &m); err != nil {
				t.Fatal(err)
			}
			if !last.IsManifest() || last.MediaType != m.MediaType || m.ArtifactType != a.Output.ArtifactType {
				t.Errorf("it is a %s of the type %q: %s", last.MediaType, m.ArtifactType, last.Raw)
			}
			if m.Subject == nil || m.Subject.Digest != a.Subject.Digest || m.Subject.Size != a.Subject.Size {
				t.Errorf("its subject is %v, want %v", m.Subject, a.Subject)
			}
			for name, want := range map[string]string{
				api.AnnotationDerivation: a.Key.String(), api.AnnotationParameters: a.Parameters, api.AnnotationCommandLine: "quiet",
				api.AnnotationBoot: "bios,uefi", api.AnnotationNotes: `["it lacks \"x\""]`,
			} {
				if got := m.Annotations[name]; got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestDocumentsComeBeforeWhatRefersToThem(t *testing.T) {
	for _, p := range []Package{PackageArtifact, PackageImage, PackageIndex} {
		t.Run(string(p), func(t *testing.T) {
			a, layers := derived(t, p)
			documents, err := a.Documents(layers)
			if err != nil {
				t.Fatal(err)
			}
			known := []digest.Digest{}
			for _, l := range layers {
				known = append(known, l.Digest)
			}
			for _, d := range documents {
				var refers struct {
					Config            *ocispec.Descriptor
					Layers, Manifests []ocispec.Descriptor
				}
				if err := json.Unmarshal(d.Raw, &refers); err != nil {
					t.Fatal(err)
				}
				if d.IsManifest() && refers.Config != nil {
					refers.Layers = append(refers.Layers, *refers.Config)
				}
				for _, r := range append(refers.Layers, refers.Manifests...) {
					if d.IsManifest() && !slices.Contains(known, r.Digest) {
						t.Errorf("%s refers to %s, which was not there before", d.Raw, r.Digest)
					}
				}
				known = append(known, d.Descriptor().Digest)
			}
		})
	}
}

// Podman machine takes the manifest whose platform has the word that uname has for
// the machine; Ironic takes that and OCI's.
//
// Source: podman, pkg/machine/ocipull; Ironic, image_service.OciImageService.
func TestDisksOfAnIndexAreFoundByTheirPlatform(t *testing.T) {
	for name, want := range map[string]string{"podman-machine": "x86_64", "ironic": "amd64"} {
		t.Run(name, func(t *testing.T) {
			blobs := convertertest.Blobs{}
			content := &Content{Type: TypeDisk, Map: pushedDisk(t, blobs)}
			out, err := Render(t.Context(), Input{Content: content, Open: blobs, Spool: blobs}, Parameters{Format: name})
			if err != nil {
				t.Fatal(err)
			}
			var layers []ocispec.Descriptor
			for _, f := range out.Files {
				layers = append(layers, f.Layer(digest.FromString(f.Name)))
			}
			documents, err := Artifact{Output: out}.Documents(layers)
			if err != nil {
				t.Fatal(err)
			}
			var index ocispec.Index
			if err := json.Unmarshal(documents[len(documents)-1].Raw, &index); err != nil {
				t.Fatal(err)
			}
			for _, m := range index.Manifests {
				if m.Platform == nil || m.Platform.Architecture != want || m.Platform.OS != "linux" || m.Annotations["disktype"] == "" {
					t.Errorf("%s, %v, want the platform linux/%s and a disktype", m.Digest, m.Platform, want)
				}
			}
		})
	}
}
