package provider

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/converter"
	"github.com/cloudlets/cloudlets/registry/metadata"
	"github.com/cloudlets/cloudlets/registry/scrub"
)

// publish stores the output of a job and puts the derived artifact beside the
// image.
func (r *Renderer) publish(ctx context.Context, j *job, image *golden, p converter.Package) (blobs []digest.Digest, artifact digest.Digest, err error) {
	repository := j.key.repository
	layers, err := r.store(ctx, j)
	if err != nil {
		return nil, "", err
	}
	documents, err := j.documents(p, image.descriptor, layers)
	if err != nil {
		return nil, "", err
	}
	for _, d := range documents {
		if artifact, err = r.put(ctx, repository, d); err != nil {
			return nil, "", fmt.Errorf("put derived artifact: %w", err)
		}
	}
	for _, l := range layers {
		blobs = append(blobs, l.Digest)
	}
	err = r.meta.SaveRender(ctx, repository, metadata.Render{
		Derivation: j.key.derivation, Artifact: artifact, Blob: blobs[0], Parameters: j.parameters,
	})
	return blobs, artifact, err
}

// store stores the files of a job, and returns their descriptors.
func (r *Renderer) store(ctx context.Context, j *job) ([]ocispec.Descriptor, error) {
	var layers []ocispec.Descriptor
	for _, f := range j.plan() {
		record, err := r.blobs.SealMap(ctx, f.Map, "", j)
		if err != nil {
			return nil, err
		}
		if record, err = scrub.Commit(ctx, r.blobs, r.meta, j.key.repository, record, nil); err != nil {
			return nil, err
		}
		layers = append(layers, ocispec.Descriptor{
			MediaType: f.MediaType, Digest: record.Digest, Size: record.Size,
			Annotations: map[string]string{ocispec.AnnotationTitle: f.Name},
		})
	}
	return layers, nil
}

// document is a JSON document of a derived artifact: a manifest, or what one
// refers to as a blob.
type document struct {
	mediaType string
	raw       []byte
}

// newDocument encodes a document.
func newDocument(mediaType string, v any) (document, error) {
	raw, err := json.Marshal(v)
	return document{mediaType, raw}, err
}

// descriptor describes the document.
func (d document) descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.mediaType, Digest: digest.FromBytes(d.raw), Size: int64(len(d.raw))}
}

// isManifest reports whether the document stands among manifests.
func (d document) isManifest() bool {
	return d.mediaType == ocispec.MediaTypeImageManifest || d.mediaType == ocispec.MediaTypeImageIndex
}

// put puts a document into a repository.
func (r *Renderer) put(ctx context.Context, repository string, d document) (digest.Digest, error) {
	name := digest.FromBytes(d.raw)
	if !d.isManifest() {
		return name, r.putBlob(ctx, repository, d.raw)
	}
	_, err := r.publisher.PutManifest(ctx, repository, name.String(), d.mediaType, d.raw)
	return name, err
}

// documents returns what a derived artifact consists of beside its files, in the
// order in which it is put; the last is what stands for it. There are no dates:
// the same derivation gives the same documents everywhere.
func (j *job) documents(p converter.Package, subject ocispec.Descriptor, layers []ocispec.Descriptor) ([]document, error) {
	switch p {
	case converter.PackageImage:
		return j.imageDocuments(subject, layers)
	case converter.PackageIndex:
		return j.indexDocuments(subject, layers)
	}
	manifest, err := newDocument(ocispec.MediaTypeImageManifest, j.artifactManifest(&subject, layers))
	return []document{emptyConfig(), manifest}, err
}

// artifactManifest is an artifact manifest of files. Within an index, which has
// the subject, it has none.
func (j *job) artifactManifest(subject *ocispec.Descriptor, layers []ocispec.Descriptor) ocispec.Manifest {
	return ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: j.kind,
		Config:       emptyConfig().descriptor(),
		Layers:       layers,
		Subject:      subject,
		Annotations:  j.annotations(),
	}
}

// annotations say what an artifact was derived from, and how.
func (j *job) annotations() map[string]string {
	annotations := map[string]string{
		api.AnnotationDerivation: j.key.derivation.String(),
		api.AnnotationParameters: j.parameters,
	}
	if line := j.state().CommandLine; line != "" {
		annotations[api.AnnotationCommandLine] = line
	}
	return annotations
}

// imageDocuments makes an image of files that are tars.
func (j *job) imageDocuments(subject ocispec.Descriptor, layers []ocispec.Descriptor) ([]document, error) {
	image := ocispec.Image{Platform: machine()}
	image.RootFS.Type = "layers"
	for _, l := range layers {
		image.RootFS.DiffIDs = append(image.RootFS.DiffIDs, l.Digest) // The tar is not compressed.
	}
	config, err := newDocument(ocispec.MediaTypeImageConfig, image)
	if err != nil {
		return nil, err
	}
	m := j.artifactManifest(&subject, layers)
	m.Config = config.descriptor()
	manifest, err := newDocument(ocispec.MediaTypeImageManifest, m)
	return []document{config, manifest}, err
}

// annotationDiskType tells the disks of an index apart, for Ironic and podman
// machine.
const annotationDiskType = "disktype"

// indexDocuments makes an index of files, a manifest for each.
func (j *job) indexDocuments(subject ocispec.Descriptor, layers []ocispec.Descriptor) ([]document, error) {
	documents := []document{emptyConfig()}
	index := ocispec.Index{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageIndex,
		ArtifactType: j.kind,
		Subject:      &subject,
		Annotations:  j.annotations(),
	}
	platform := machine()
	for i, l := range layers {
		diskType := map[string]string{annotationDiskType: j.plan()[i].DiskType}
		m := j.artifactManifest(nil, []ocispec.Descriptor{l})
		m.Annotations = diskType
		manifest, err := newDocument(ocispec.MediaTypeImageManifest, m)
		if err != nil {
			return nil, err
		}
		d := manifest.descriptor()
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
func emptyConfig() document {
	empty := ocispec.DescriptorEmptyJSON
	return document{empty.MediaType, empty.Data}
}

// putBlob sees to it that a repository holds a small blob.
func (r *Renderer) putBlob(ctx context.Context, repository string, content []byte) error {
	d := digest.FromBytes(content)
	if _, err := r.meta.PromiseBlob(ctx, repository, d); err == nil {
		return nil
	}
	w, err := r.blobs.Create(ctx, digest.Canonical)
	if err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		return err
	}
	record, err := w.Seal(ctx, d)
	if err != nil {
		return err
	}
	_, err = scrub.Commit(ctx, r.blobs, r.meta, repository, record, nil)
	return err
}
