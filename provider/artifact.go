package provider

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/registry/metadata"
	"github.com/cloudlets/cloudlets/registry/scrub"
)

// publish stores the output of a job and puts the derived artifact beside the
// image.
func (r *Renderer) publish(ctx context.Context, j *job, image *golden) (blobs []digest.Digest, artifact digest.Digest, err error) {
	repository := j.key.repository
	layers, err := r.store(ctx, j)
	if err != nil {
		return nil, "", err
	}
	raw, err := artifactManifest(j, image.descriptor, layers)
	if err != nil {
		return nil, "", err
	}
	if err := r.putEmptyConfig(ctx, repository); err != nil {
		return nil, "", err
	}
	artifact = digest.FromBytes(raw)
	if _, err := r.publisher.PutManifest(ctx, repository, artifact.String(), ocispec.MediaTypeImageManifest, raw); err != nil {
		return nil, "", fmt.Errorf("put derived artifact: %w", err)
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

// artifactManifest returns the manifest of a derived artifact. It has no date:
// the same derivation gives the same manifest everywhere.
func artifactManifest(j *job, subject ocispec.Descriptor, layers []ocispec.Descriptor) ([]byte, error) {
	annotations := map[string]string{
		api.AnnotationDerivation: j.key.derivation.String(),
		api.AnnotationParameters: j.parameters,
	}
	if line := j.state().CommandLine; line != "" {
		annotations[api.AnnotationCommandLine] = line
	}
	config := ocispec.DescriptorEmptyJSON
	config.Data = nil
	return json.Marshal(ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: parameters(j.request).ArtifactType(),
		Config:       config,
		Layers:       layers,
		Subject:      &subject,
		Annotations:  annotations,
	})
}

// putEmptyConfig sees to it that a repository holds the config of artifacts.
func (r *Renderer) putEmptyConfig(ctx context.Context, repository string) error {
	empty := ocispec.DescriptorEmptyJSON
	if _, err := r.meta.PromiseBlob(ctx, repository, empty.Digest); err == nil {
		return nil
	}
	w, err := r.blobs.Create(ctx, digest.Canonical)
	if err != nil {
		return err
	}
	if _, err := w.Write(empty.Data); err != nil {
		return err
	}
	record, err := w.Seal(ctx, empty.Digest)
	if err != nil {
		return err
	}
	_, err = scrub.Commit(ctx, r.blobs, r.meta, repository, record, nil)
	return err
}
