package provider

import (
	"context"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/converter"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// publish stores the output of a job and puts the derived artifact beside the
// image.
func (r *Renderer) publish(ctx context.Context, j *job, p planned) (blobs []digest.Digest, artifact digest.Digest, err error) {
	repository := j.key.repository
	layers, err := r.storeFiles(ctx, j)
	if err != nil {
		return nil, "", err
	}
	derived := converter.Artifact{
		Subject: p.image.descriptor, Parameters: j.parameters, Key: j.key.derivation, Output: p.output,
	}
	documents, err := derived.Documents(layers)
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

// storeFiles stores the files of a job, and returns their descriptors.
func (r *Renderer) storeFiles(ctx context.Context, j *job) ([]ocispec.Descriptor, error) {
	var layers []ocispec.Descriptor
	for _, f := range j.plan() {
		record, err := r.blobs.SealMap(ctx, f.Map, "", j)
		if err != nil {
			return nil, err
		}
		if record, err = r.commit(ctx, j.key.repository, record); err != nil {
			return nil, err
		}
		layers = append(layers, f.Layer(record.Digest))
	}
	return layers, nil
}

// put puts a document into a repository.
func (r *Renderer) put(ctx context.Context, repository string, d converter.Document) (digest.Digest, error) {
	name := digest.FromBytes(d.Raw)
	if !d.IsManifest() {
		return name, r.putBlob(ctx, repository, d.Raw)
	}
	_, err := r.publisher.PutManifest(ctx, repository, name.String(), d.MediaType, d.Raw)
	return name, err
}

// putBlob sees to it that a repository holds a small blob.
func (r *Renderer) putBlob(ctx context.Context, repository string, content []byte) error {
	d := digest.FromBytes(content)
	if _, err := r.meta.PromiseBlob(ctx, repository, d); err == nil {
		return nil
	}
	_, err := r.write(ctx, repository, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
	return err
}
