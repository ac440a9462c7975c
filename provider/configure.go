package provider

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/converter"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/cloudlet"
	"github.com/cloudlets/cloudlets/image/configure"
)

// canonical returns the configuration of a request in the form that derivation
// keys are made of: nil where none is given.
func (r *Renderer) canonical(ctx context.Context, repository string, req api.RenderRequest) (json.RawMessage, error) {
	if len(req.Config) == 0 {
		return nil, nil
	}
	g, err := r.load(ctx, repository, req.Image)
	if err != nil {
		return nil, err
	}
	c, err := g.configuration(req.Config)
	if err != nil {
		return nil, err
	}
	return c.Canonical(nil)
}

// configuration reads a configuration for the image: none is the empty one.
func (g *golden) configuration(given json.RawMessage) (*cloudlet.Configuration, error) {
	if g.content != nil {
		return nil, unrenderable(fmt.Errorf("a configuration changes files: %w", converter.ErrNoFiles))
	}
	c, err := converter.Configuration(g.manifest, given)
	return c, unrenderable(err)
}

// configured returns the tree of a request with its configuration in it, and the
// parts of the configuration that have no effect.
func (r *Renderer) configured(ctx context.Context, g *golden, req api.RenderRequest) (t *image.Tree, unused []string, err error) {
	if g.content != nil && req.Volatile {
		return nil, nil, unrenderable(fmt.Errorf("volatile paths are files: %w", converter.ErrNoFiles))
	}
	if g.content != nil {
		return nil, nil, nil
	}
	tree, err := g.rootfs(req.Volatile)
	if err != nil {
		return nil, nil, unrenderable(err)
	}
	if !configure.Needed(tree, g.manifest, req.Config) {
		return tree, nil, nil
	}
	c, err := g.configuration(req.Config)
	if err != nil {
		return nil, nil, err
	}
	t, report, err := configure.Apply(ctx, configure.Input{Tree: tree, Open: r.blobs, Manifest: g.manifest, Configuration: c}, &r.templates)
	if err != nil {
		return nil, nil, unrenderable(err)
	}
	return t, report.Unused(req.Config), nil
}
