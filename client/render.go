package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/api"
)

// ErrNoRenderer says that a registry does not render, or not for who asks.
var ErrNoRenderer = errors.New("name a file with -o to have it rendered here, or have what comes of it pushed, with --push")

// Render asks the registry for a render of an image in the repository, and
// returns as soon as the output can be read.
func (r *Repository) Render(ctx context.Context, req api.RenderRequest) (api.Render, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return api.Render{}, err
	}
	var render api.Render
	err = r.call(ctx, http.MethodPost, r.extension(api.ComponentRenders), "application/json", bytes.NewReader(body), &render)
	switch {
	case err == nil || ctx.Err() != nil:
		return render, renderError(req.Image, err)
	case !r.hasRenderer(ctx):
		return render, fmt.Errorf("the registry is not a cloudlets, which would render images: %w", ErrNoRenderer)
	case hasStatus(err, http.StatusUnauthorized, http.StatusForbidden):
		return render, fmt.Errorf("%w: %w", renderError(req.Image, err), ErrNoRenderer)
	}
	return render, renderError(req.Image, err)
}

// hasRenderer reports whether the registry renders, by a question that whoever may
// pull may ask: public registries refuse others before they say that there is no
// such path. Where there is no answer it may.
func (r *Repository) hasRenderer(ctx context.Context) bool {
	const nobodyHas = digest.Digest("sha256:" + "0000000000000000000000000000000000000000000000000000000000000000")
	err := r.call(ctx, http.MethodGet, r.extension(api.ComponentRenders, nobodyHas.String()), "", nil, &api.Render{})
	var e *AnswerError
	if !errors.As(err, &e) {
		return true
	}
	return e.Status >= http.StatusInternalServerError || e.Status == http.StatusNotFound && e.Code == "MANIFEST_UNKNOWN"
}

// WaitRender waits until a render is done or has failed. The error is the
// render's own where it failed.
func (r *Repository) WaitRender(ctx context.Context, render api.Render) (api.Render, error) {
	render, err := r.waitWhile(ctx, render, api.RenderPlanning, "compress", 0)
	if err != nil {
		return render, err
	}
	size := int64(0)
	for _, f := range render.Files {
		size += f.Size
	}
	return r.waitWhile(ctx, render, api.RenderPlanned, "digest", size)
}

// waitWhile waits until a render is no longer in a state, in which something is
// done with size bytes. The error is the render's own where it failed.
func (r *Repository) waitWhile(ctx context.Context, render api.Render, state, doing string, size int64) (_ api.Render, err error) {
	key := render.Key
	if render.State == state {
		step := r.client.step(doing, size)
		defer func() { step.End(err) }()
		for render.State == state {
			if render, err = r.renderState(ctx, key); err != nil {
				return render, err
			}
			step.Set(render.Hashed)
		}
	}
	if render.State == api.RenderFailed {
		return render, fmt.Errorf("render %s: %s", key, render.Error)
	}
	return render, nil
}

// renderState asks for the state of a render, which the registry answers after
// a change or a second.
func (r *Repository) renderState(ctx context.Context, key digest.Digest) (api.Render, error) {
	var render api.Render
	err := r.call(ctx, http.MethodGet, r.extension(api.ComponentRenders, key.String())+"?wait=1s", "", nil, &render)
	return render, renderError(key, err)
}

func renderError(d digest.Digest, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("render %s: %w", d, err)
}
