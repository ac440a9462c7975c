package provider

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/registry/metadata"
	"github.com/cloudlets/cloudlets/registry/scrub"
)

// publish stores the output of a job and puts the derived artifact beside the
// image.
func (r *Renderer) publish(ctx context.Context, j *job, image *golden, m *extent.Map) (blob, artifact digest.Digest, err error) {
	repository := j.key.repository
	record, err := r.blobs.SealMap(ctx, m, "", j)
	if err != nil {
		return "", "", err
	}
	if record, err = scrub.Commit(ctx, r.blobs, r.meta, repository, record, nil); err != nil {
		return "", "", err
	}
	raw, err := artifactManifest(j, image.descriptor, record.Digest, record.Size)
	if err != nil {
		return "", "", err
	}
	if err := r.putEmptyConfig(ctx, repository); err != nil {
		return "", "", err
	}
	artifact = digest.FromBytes(raw)
	if _, err := r.publisher.PutManifest(ctx, repository, artifact.String(), ocispec.MediaTypeImageManifest, raw); err != nil {
		return "", "", fmt.Errorf("put derived artifact: %w", err)
	}
	err = r.meta.SaveRender(ctx, repository, metadata.Render{
		Derivation: j.key.derivation, Artifact: artifact, Blob: record.Digest, Parameters: j.parameters,
	})
	return record.Digest, artifact, err
}

// artifactManifest returns the manifest of a derived artifact. It has no date:
// the same derivation gives the same manifest everywhere.
func artifactManifest(j *job, subject ocispec.Descriptor, blob digest.Digest, size int64) ([]byte, error) {
	params := parameters(j.request)
	annotations := map[string]string{
		api.AnnotationDerivation: j.key.derivation.String(),
		api.AnnotationParameters: j.parameters,
	}
	if line := j.state().CommandLine; line != "" {
		annotations[api.AnnotationCommandLine] = line
	}
	config := ocispec.DescriptorEmptyJSON
	config.Data = nil
	mediaType := params.MediaType()
	return json.Marshal(ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: mediaType,
		Config:       config,
		Layers: []ocispec.Descriptor{{
			MediaType: mediaType, Digest: blob, Size: size,
			Annotations: map[string]string{ocispec.AnnotationTitle: params.FileName()},
		}},
		Subject:     &subject,
		Annotations: annotations,
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
