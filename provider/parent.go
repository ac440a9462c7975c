package provider

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/converter"
)

// parentOf returns the disk of the parent that a request names. Its digest is
// that of a render, raw, which is stored beside the parent, unless it was pushed
// as a disk and is known.
func (r *Renderer) parentOf(ctx context.Context, repository string, req api.RenderRequest) (*converter.Parent, error) {
	image, err := r.load(ctx, repository, req.Parent)
	if err != nil {
		return nil, fmt.Errorf("parent: %w", err)
	}
	ask := req.ForParent(image.content != nil)
	p, err := r.plan(ctx, repository, ask)
	if err != nil {
		return nil, fmt.Errorf("parent %s: %w", req.Parent, err)
	}
	parent := &converter.Parent{Map: p.output.Files[0].Map}
	if image.content != nil && image.content.Digest != "" {
		parent.Digest, parent.Frames = image.content.Digest, image.content.Frames
		return parent, nil
	}
	parent.Digest, err = r.digestOf(ctx, repository, ask)
	return parent, err
}

// digestOf returns the digest of an output, once it is stored.
func (r *Renderer) digestOf(ctx context.Context, repository string, req api.RenderRequest) (digest.Digest, error) {
	render, err := r.Render(ctx, repository, req)
	if err != nil {
		return "", err
	}
	if j := r.job(repository, render.Key); j != nil {
		select {
		case <-j.done:
		case <-ctx.Done():
			return "", ctx.Err()
		}
		if err := j.failure(); err != nil {
			return "", err
		}
	}
	render, err = r.State(ctx, repository, render.Key)
	return render.Blob, err
}
