package converter

import (
	"encoding/json"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/api"
)

// Artifact is a derived artifact: an output, and what it was made from.
type Artifact struct {
	// Subject is the manifest of the image.
	Subject ocispec.Descriptor
	// Parameters and Key are what [Derivation.Canonical] returns.
	Parameters string
	Key        digest.Digest
	Output     Output
}

// Document is a JSON document of a derived artifact: a manifest, or what one
// refers to as a blob.
type Document struct {
	MediaType string
	Raw       []byte
}

// newDocument encodes a document.
func newDocument(mediaType string, v any) (Document, error) {
	raw, err := json.Marshal(v)
	return Document{mediaType, raw}, err
}

// Descriptor describes the document.
func (d Document) Descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: digest.FromBytes(d.Raw), Size: int64(len(d.Raw))}
}

// IsManifest reports whether the document stands among manifests.
func (d Document) IsManifest() bool {
	return d.MediaType == ocispec.MediaTypeImageManifest || d.MediaType == ocispec.MediaTypeImageIndex
}

// Layer describes the blob of a file in a derived artifact. d is the digest of
// the file.
func (f File) Layer(d digest.Digest) ocispec.Descriptor {
	return ocispec.Descriptor{
		MediaType: f.MediaType, Digest: d, Size: f.Map.Size(),
		Annotations: map[string]string{ocispec.AnnotationTitle: f.Name},
	}
}

// Documents returns what the artifact consists of beside its files, in the order
// in which it is put; the last is what stands for it. layers describe the files,
// in their order. There are no dates: the same derivation gives the same documents
// everywhere.
//
// Source: OCI image specification, image manifest and image index: guidelines for
// artifact usage.
func (a Artifact) Documents(layers []ocispec.Descriptor) ([]Document, error) {
	switch a.Output.Package {
	case PackageImage:
		return a.image(layers)
	case PackageIndex:
		return a.index(layers)
	}
	manifest, err := newDocument(ocispec.MediaTypeImageManifest, a.manifest(&a.Subject, layers))
	return []Document{emptyConfig(), manifest}, err
}

// manifest is an artifact manifest of files. Within an index, which has the
// subject, it has none.
func (a Artifact) manifest(subject *ocispec.Descriptor, layers []ocispec.Descriptor) ocispec.Manifest {
	return ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: a.Output.ArtifactType,
		Config:       emptyConfig().Descriptor(),
		Layers:       layers,
		Subject:      subject,
		Annotations:  a.annotations(),
	}
}

// annotations say what the artifact was derived from, and how.
func (a Artifact) annotations() map[string]string {
	annotations := map[string]string{
		api.AnnotationDerivation: a.Key.String(),
		api.AnnotationParameters: a.Parameters,
	}
	if line := a.Output.Report.CommandLine; line != "" {
		annotations[api.AnnotationCommandLine] = line
	}
	if len(a.Output.Boot) > 0 {
		annotations[api.AnnotationBoot] = strings.Join(a.Output.Boot, ",")
	}
	if len(a.Output.Notes) > 0 {
		notes, _ := json.Marshal(a.Output.Notes) // of strings it cannot fail
		annotations[api.AnnotationNotes] = string(notes)
	}
	return annotations
}

// Describe says of a render what the annotations of its derived artifact tell.
// Those that others have written are passed over where they are not as ours are.
func Describe(r *api.Render, annotations map[string]string) {
	r.CommandLine = annotations[api.AnnotationCommandLine]
	if boot := annotations[api.AnnotationBoot]; boot != "" {
		r.Boot = strings.Split(boot, ",")
	}
	var notes []string
	if json.Unmarshal([]byte(annotations[api.AnnotationNotes]), &notes) == nil {
		r.Notes = notes
	}
}

// image makes an image of files that are tars.
func (a Artifact) image(layers []ocispec.Descriptor) ([]Document, error) {
	image := ocispec.Image{Platform: machine()}
	image.RootFS.Type = "layers"
	for _, l := range layers {
		image.RootFS.DiffIDs = append(image.RootFS.DiffIDs, l.Digest) // The tar is not compressed.
	}
	config, err := newDocument(ocispec.MediaTypeImageConfig, image)
	if err != nil {
		return nil, err
	}
	m := a.manifest(&a.Subject, layers)
	m.Config = config.Descriptor()
	manifest, err := newDocument(ocispec.MediaTypeImageManifest, m)
	return []Document{config, manifest}, err
}

// annotationDiskType tells the disks of an index apart, for Ironic and podman
// machine.
const annotationDiskType = "disktype"

// index makes an index of files, a manifest for each.
func (a Artifact) index(layers []ocispec.Descriptor) ([]Document, error) {
	documents := []Document{emptyConfig()}
	index := ocispec.Index{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageIndex,
		ArtifactType: a.Output.ArtifactType,
		Subject:      &a.Subject,
		Annotations:  a.annotations(),
	}
	platform := machine()
	if a.Output.Arch != "" {
		platform.Architecture = a.Output.Arch
	}
	for i, l := range layers {
		diskType := map[string]string{annotationDiskType: a.Output.Files[i].DiskType}
		m := a.manifest(nil, []ocispec.Descriptor{l})
		m.Annotations = diskType
		manifest, err := newDocument(ocispec.MediaTypeImageManifest, m)
		if err != nil {
			return nil, err
		}
		d := manifest.Descriptor()
		d.Platform, d.Annotations, d.ArtifactType = &platform, diskType, m.ArtifactType
		index.Manifests = append(index.Manifests, d)
		documents = append(documents, manifest)
	}
	last, err := newDocument(ocispec.MediaTypeImageIndex, index)
	return append(documents, last), err
}

// machine is the platform that disks are made for.
func machine() ocispec.Platform { return ocispec.Platform{OS: "linux", Architecture: "amd64"} }

// emptyConfig is the config of artifacts.
func emptyConfig() Document {
	empty := ocispec.DescriptorEmptyJSON
	return Document{empty.MediaType, empty.Data}
}
