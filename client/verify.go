package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/converter"
	"github.com/cloudlets/cloudlets/converter/container"
)

// ErrNotDerived is wrapped by errors about what was not rendered from an image.
var ErrNotDerived = errors.New("it is no derived artifact, and no image of which there are any")

// Verification says what became of rendering a derived artifact again.
type Verification struct {
	Artifact  digest.Digest  `json:"artifact"`
	Image     digest.Digest  `json:"image"`
	Format    string         `json:"format"`
	Converter int            `json:"converter"` // version of the converter that made it
	Files     []VerifiedFile `json:"files"`
	// Manifest is what Artifact should be.
	Manifest digest.Digest `json:"manifest"`
}

// Same reports whether the artifact is what it should be. Another version of the
// converter may have written other manifests.
func (v Verification) Same() bool {
	return len(v.Differs()) == 0 && (v.Manifest == v.Artifact || v.OtherConverter())
}

// VerifiedFile is a file of a derived artifact.
type VerifiedFile struct {
	Name     string        `json:"name"`
	Digest   digest.Digest `json:"digest"`
	Rendered digest.Digest `json:"rendered"` // what it should be
}

// OtherConverter reports whether another version of the converter has made the
// artifact. Its outputs may differ from those of this one.
func (v Verification) OtherConverter() bool { return v.Converter != converter.Version }

// Differs returns the files that are not what they should be.
func (v Verification) Differs() []VerifiedFile {
	var list []VerifiedFile
	for _, f := range v.Files {
		if f.Digest != f.Rendered {
			list = append(list, f)
		}
	}
	return list
}

// Sources are the repositories that hold what an artifact was derived from.
type Sources struct {
	Images *Repository // and disks that are parents; nil is that of the artifact
	Kits   *Repository // nil is that of the images
}

// opened are the images, parents and boot kits that were fetched, for all artifacts
// that are made of them.
type opened map[digest.Digest]*Image

// image returns an image of a repository, fetched whole unless it was before.
func (o opened) image(ctx context.Context, r *Repository, d digest.Digest) (*Image, error) {
	if i, ok := o[d]; ok {
		return i, nil
	}
	i, err := r.at(d.String()).OpenImage(ctx, OpenOptions{Whole: true, Content: true})
	if err == nil {
		o[d] = i
	}
	return i, err
}

// Close closes them all.
func (o opened) Close() error {
	var errs []error
	for _, i := range o {
		errs = append(errs, i.Close())
	}
	return errors.Join(errs...)
}

// Verify renders again, here, the derived artifact that the repository's
// reference names, or all of an image, and compares them: each file, and what the
// manifest says of them.
func (r *Repository) Verify(ctx context.Context, from Sources) (list []Verification, err error) {
	m, err := r.Manifest(ctx)
	if err != nil {
		return nil, err
	}
	from.Images = cmp.Or(from.Images, r)
	from.Kits = cmp.Or(from.Kits, from.Images)
	derived := []*Manifest{m}
	if m.Annotations[api.AnnotationParameters] == "" {
		if derived, err = r.derived(ctx, m); err != nil {
			return nil, err
		}
	}
	if len(derived) == 0 {
		return nil, fmt.Errorf("%s: %w", r.Reference, ErrNotDerived)
	}
	images := make(opened)
	defer func() { err = errors.Join(err, images.Close()) }()
	for _, m := range derived {
		v, err := r.verify(ctx, m, from, images)
		if err != nil {
			return nil, fmt.Errorf("verify %s: %w", m.Descriptor.Digest, err)
		}
		list = append(list, v)
	}
	return list, nil
}

// derived returns the artifacts that were derived from an image.
func (r *Repository) derived(ctx context.Context, m *Manifest) ([]*Manifest, error) {
	m, err := r.Platform(ctx, m, "")
	if err != nil {
		return nil, err
	}
	referrers, err := registry.Referrers(ctx, r.Repository, m.Descriptor, "")
	if err != nil {
		return nil, fmt.Errorf("list what refers to %s: %w", m.Descriptor.Digest, err)
	}
	var list []*Manifest
	for _, d := range referrers {
		if _, _, ok := api.ParseArtifactKind(d.ArtifactType); !ok {
			continue
		}
		derived, err := r.at(d.Digest.String()).Manifest(ctx)
		if err != nil {
			return nil, err
		}
		if derived.Annotations[api.AnnotationParameters] != "" {
			list = append(list, derived)
		}
	}
	return list, nil
}

// verify renders one derived artifact again.
func (r *Repository) verify(ctx context.Context, m *Manifest, from Sources, images opened) (v Verification, err error) {
	d, err := converter.ParseDerivation(m.Annotations[api.AnnotationParameters])
	if err != nil {
		return v, err
	}
	layers, err := r.filesOf(ctx, m)
	if err != nil {
		return v, err
	}
	v = Verification{Artifact: m.Descriptor.Digest, Image: d.Image, Format: d.Format, Converter: d.Converter}
	i, err := images.image(ctx, from.Images, d.Image)
	if errors.Is(err, errdef.ErrNotFound) && from.Images == r {
		return v, fmt.Errorf("%w: if the image is in another repository, name that with --subject", err)
	}
	if err != nil {
		return v, err
	}
	if m.Subject == nil || m.Subject.Digest != i.Manifest.Descriptor.Digest {
		return v, fmt.Errorf("its subject is not the image %s that its parameters name", i.Manifest.Descriptor.Digest)
	}
	rendered, err := i.renderAgain(ctx, d, from, images, func(r Rendered) error { return v.compare(ctx, layers, r) })
	if err != nil {
		return v, err
	}
	if len(rendered.Files) != len(layers) {
		return v, fmt.Errorf("it has %d files, expected %d", len(layers), len(rendered.Files))
	}
	return v, v.compareManifest(converter.Artifact{Subject: i.Descriptor, Output: rendered.Output}, d)
}

// compareManifest compares what stands for the artifact: its type, names of files,
// and annotations such as the kernel's command line.
func (v *Verification) compareManifest(a converter.Artifact, d converter.Derivation) (err error) {
	if a.Parameters, a.Key, err = d.Canonical(); err != nil {
		return err
	}
	var layers []ocispec.Descriptor
	for n, f := range a.Output.Files {
		layers = append(layers, f.Layer(v.Files[n].Rendered))
	}
	documents, err := a.Documents(layers)
	if err != nil {
		return err
	}
	v.Manifest = documents[len(documents)-1].Descriptor().Digest
	return nil
}

// filesOf returns the files of a derived artifact, which may be an index of
// several.
func (r *Repository) filesOf(ctx context.Context, m *Manifest) (layers []ocispec.Descriptor, err error) {
	if !m.isIndex() {
		return m.Layers, nil
	}
	children, err := m.children()
	if err != nil {
		return nil, err
	}
	for _, d := range children {
		child, err := r.at(d.Digest.String()).Manifest(ctx)
		if err != nil {
			return nil, err
		}
		layers = append(layers, child.Layers...)
	}
	return layers, nil
}

// renderAgain renders the image as a derivation says, and has the output used
// while it can be read.
func (i *Image) renderAgain(ctx context.Context, d converter.Derivation, from Sources, images opened, use func(Rendered) error) (rendered Rendered, err error) {
	manifest, err := i.CloudletManifest(ctx)
	if err != nil {
		return rendered, err
	}
	l := Local{
		Setup:      Setup{Manifest: manifest, Config: d.Config},
		Parameters: d.Parameters(), Volatile: d.Volatile, Spool: &container.Files{},
	}
	defer func() { err = errors.Join(err, l.Spool.Close()) }()
	if d.Bootkit != "" {
		if l.Kit, err = images.image(ctx, from.Kits, d.Bootkit); err != nil {
			return rendered, fmt.Errorf("boot kit: %w", err)
		}
	}
	if d.Parent != "" {
		if l.Parent, err = images.image(ctx, from.Images, d.Parent); err != nil {
			return rendered, fmt.Errorf("parent: %w", err)
		}
	}
	if rendered, err = i.RenderHere(ctx, l); err != nil {
		return rendered, err
	}
	return rendered, use(rendered)
}

// compare adds the files of an output, with what they are in an artifact.
func (v *Verification) compare(ctx context.Context, layers []ocispec.Descriptor, rendered Rendered) error {
	for n, f := range rendered.Files {
		d, err := contentDigest(ctx, f.Map, rendered.Open, io.Discard)
		if err != nil {
			return fmt.Errorf("render %s: %w", f.Name, err)
		}
		file := VerifiedFile{Name: f.Name, Rendered: d}
		if n < len(layers) {
			file.Digest = layers[n].Digest
		}
		v.Files = append(v.Files, file)
	}
	return nil
}
