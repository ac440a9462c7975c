package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/converter"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image/configure"
)

// Derive renders an image of the repository on this machine and pushes what comes
// of it to a repository of any registry: as the artifact that a registry makes
// which renders, of the same digest, with the image as its subject. It gets the tag
// that to's reference has, if there is one. Where to is nil, it goes beside the
// image and gets none. use has the output before it is pushed. A boot kit is looked
// for in the registry of the image.
//
// Source: OCI distribution specification 1.1, pushing manifests with subject; a
// registry without the Referrers API gets the tag that stands in for it.
func (r *Repository) Derive(ctx context.Context, req api.RenderRequest, to *Repository, use func(Rendered) error) (render api.Render, err error) {
	if to == nil {
		to = r.at("")
	}
	images := make(opened)
	defer func() { err = errors.Join(err, images.Close()) }()
	i, err := images.image(ctx, r, req.Image)
	if err != nil {
		return render, err
	}
	d := converter.Derive(req)
	if d.Config, err = i.canonical(ctx, req.Config); err != nil {
		return render, err
	}
	a := converter.Artifact{Subject: i.Descriptor}
	if a.Parameters, a.Key, err = d.Canonical(); err != nil {
		return render, err
	}
	from := Sources{Images: r, Kits: r}
	if req.Bootkit != nil {
		from.Kits = r.client.repository(registry.Reference{Registry: r.Reference.Registry, Repository: req.Bootkit.Repository})
	}
	_, err = i.renderAgain(ctx, d, from, images, func(rendered Rendered) error {
		if err := use(rendered); err != nil {
			return err
		}
		a.Output = rendered.Output
		render, err = to.pushDerived(ctx, a, rendered.Open)
		return err
	})
	return render, err
}

// canonical returns the configuration of a derived artifact in the form that
// derivation keys are made of: nil where none is given.
func (i *Image) canonical(ctx context.Context, given json.RawMessage) (json.RawMessage, error) {
	if i.Tree == nil {
		return given, nil // RenderHere refuses one.
	}
	m, err := i.CloudletManifest(ctx)
	if err != nil || !configure.Needed(i.Tree, m, given) {
		return nil, err
	}
	c, err := converter.Configuration(m, given)
	if err != nil || len(given) == 0 {
		return nil, err
	}
	return c.Canonical(nil)
}

// pushDerived pushes a derived artifact: its files, and then its documents.
func (r *Repository) pushDerived(ctx context.Context, a converter.Artifact, open extent.Opener) (api.Render, error) {
	render := api.Render{
		Key: a.Key, State: api.RenderDone, Boot: a.Output.Boot, Notes: a.Output.Notes, CommandLine: a.Output.Report.CommandLine,
	}
	var layers []ocispec.Descriptor
	for _, f := range a.Output.Files {
		layer, err := r.pushOutput(ctx, f, open)
		if err != nil {
			return render, fmt.Errorf("push %s: %w", f.Name, err)
		}
		layers = append(layers, layer)
		render.Hashed += layer.Size
		render.Files = append(render.Files, api.RenderFile{
			Name: f.Name, MediaType: f.MediaType, Size: layer.Size, Blob: layer.Digest,
			Content: "/v2/" + r.Reference.Repository + "/blobs/" + layer.Digest.String(),
		})
	}
	render.Size, render.Content, render.Blob = render.Files[0].Size, render.Files[0].Content, render.Files[0].Blob
	documents, err := a.Documents(layers)
	if err != nil {
		return render, err
	}
	last := len(documents) - 1
	for _, d := range documents[:last] {
		if err := r.pushDocument(ctx, d, ""); err != nil {
			return render, fmt.Errorf("push derived artifact: %w", err)
		}
	}
	render.Artifact = documents[last].Descriptor().Digest
	if err := r.pushDocument(ctx, documents[last], r.Reference.Reference); err != nil {
		return render, fmt.Errorf("push derived artifact: %w", err)
	}
	return render, nil
}

// pushOutput pushes a file of an output. It is read twice: for its digest, and to
// send it unless the repository holds it.
func (r *Repository) pushOutput(ctx context.Context, f converter.File, open extent.Opener) (ocispec.Descriptor, error) {
	step := r.client.step("hash", f.Map.Size())
	d, err := contentDigest(ctx, f.Map, open, &counter{step: step})
	step.End(err)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	layer := f.Layer(d)
	content := extent.NewReader(ctx, f.Map, open)
	return layer, errors.Join(r.pushWhole(ctx, layer, content), content.Close())
}

// contentDigest returns the digest of what a map describes. progress is written
// all of it.
func contentDigest(ctx context.Context, m *extent.Map, open extent.Opener, progress io.Writer) (digest.Digest, error) {
	hash := digest.Canonical.Digester()
	content := extent.NewReader(ctx, m, open)
	_, err := content.WriteTo(io.MultiWriter(hash.Hash(), progress))
	return hash.Digest(), errors.Join(err, content.Close())
}

// pushDocument pushes a document of a derived artifact: a manifest with a tag,
// unless that is empty.
func (r *Repository) pushDocument(ctx context.Context, d converter.Document, tag string) error {
	at := d.Descriptor()
	switch {
	case !d.IsManifest():
		return r.pushWhole(ctx, at, bytes.NewReader(d.Raw))
	case tag != "":
		return r.Manifests().PushReference(ctx, at, bytes.NewReader(d.Raw), tag)
	}
	return r.Manifests().Push(ctx, at, bytes.NewReader(d.Raw))
}
