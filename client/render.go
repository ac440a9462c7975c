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

// ErrNoRenderer says that a registry does not render.
var ErrNoRenderer = errors.New("the registry is not a cloudlets: it does not render images")

// Render asks the registry for a render of an image in the repository, and
// returns as soon as the output can be read.
func (r *Repository) Render(ctx context.Context, req api.RenderRequest) (api.Render, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return api.Render{}, err
	}
	var render api.Render
	err = r.call(ctx, http.MethodPost, r.extension(api.ComponentRenders), "application/json", bytes.NewReader(body), &render)
	return render, renderError(req.Image, err)
}

// WaitRender waits until a render is done or has failed. The error is the
// render's own where it failed.
func (r *Repository) WaitRender(ctx context.Context, render api.Render) (api.Render, error) {
	step := r.client.step("digest", render.Size)
	image := render.Key
	for render.State == api.RenderPlanned {
		var err error
		if render, err = r.renderState(ctx, render.Key); err != nil {
			step.End(err)
			return render, err
		}
		step.Set(render.Hashed)
	}
	var err error
	if render.State == api.RenderFailed {
		err = fmt.Errorf("render %s: %s", image, render.Error)
	}
	step.End(err)
	return render, err
}

// renderState asks for the state of a render, which the registry answers after
// a change or a second.
func (r *Repository) renderState(ctx context.Context, key digest.Digest) (api.Render, error) {
	var render api.Render
	err := r.call(ctx, http.MethodGet, r.extension(api.ComponentRenders, key.String())+"?wait=1s", "", nil, &render)
	return render, renderError(key, err)
}

func renderError(d digest.Digest, err error) error {
	switch {
	case err == nil:
		return nil
	case hasStatus(err, http.StatusMethodNotAllowed):
		return ErrNoRenderer
	}
	return fmt.Errorf("render %s: %w", d, err)
}
