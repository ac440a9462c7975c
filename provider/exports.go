package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/blobstore/cache"
	"github.com/cloudlets/cloudlets/converter"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image/kind"
	"github.com/cloudlets/cloudlets/nbd"
	"github.com/cloudlets/cloudlets/registry"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

const (
	// planBudget bounds the maps of disks that are kept in memory, in bytes.
	planBudget = 64 << 20
	// maxListed is how many exports are listed.
	maxListed = 1000
)

// attachable are the image types whose files a client can attach.
var attachable = []string{converter.TypeDisk, converter.TypeFilesystem, converter.TypePersistent, string(kind.ISO9660)}

// Exports are the disks of a registry, for an nbd.Server: images, as the raw disks
// that they render into, and artifacts that are disks, filesystems or ISOs, as they
// are, or raw where they are kept as frames. They are named repository@digest or
// repository:tag. What a registry says of who may pull holds for them, too; a client
// has nothing to prove itself with but a certificate.
type Exports struct {
	renderer *Renderer
	access   registry.Access
	plans    *cache.Cache[digest.Digest, *extent.Map] // by manifest
}

var _ nbd.Exports = (*Exports)(nil)

// Exports returns the exports of the registry that is rendered for.
func (r *Renderer) Exports(access registry.Access) *Exports {
	return &Exports{renderer: r, access: access, plans: cache.New[digest.Digest, *extent.Map](planBudget)}
}

// Open opens the disk of a name. To a client that may not pull it, there is none.
func (x *Exports) Open(ctx context.Context, peer nbd.Peer, name string) (*nbd.Export, error) {
	repository, reference, err := parseExport(name)
	if err != nil {
		return nil, err
	}
	if _, err := x.authorize(ctx, peer, registry.Need{Action: registry.ActionPull, Repository: repository}); err != nil {
		return nil, fmt.Errorf("export %s: %w: %w", name, nbd.ErrUnknownExport, err)
	}
	m, err := x.manifest(ctx, repository, reference)
	if isMissing(err) {
		return nil, fmt.Errorf("export %s: %w: %w", name, nbd.ErrUnknownExport, err)
	}
	if err != nil {
		return nil, fmt.Errorf("export %s: %w", name, err)
	}
	plan, err := x.plan(ctx, repository, m)
	var unrenderable unrenderableError
	if errors.As(err, &unrenderable) {
		return nil, fmt.Errorf("export %s: %w: %w", name, nbd.ErrUnservable, err)
	}
	if err != nil {
		return nil, fmt.Errorf("export %s: %w", name, err)
	}
	content := extent.NewReader(x.renderer.background, plan, x.renderer.blobs)
	return &nbd.Export{
		Name: repository + "@" + m.Digest.String(), Map: plan, Content: content,
		Release: func() {
			if err := content.Close(); err != nil {
				x.renderer.log.Warn("an export was not closed", "export", name, "error", err)
			}
		},
	}, nil
}

// parseExport takes the name of an export apart.
func parseExport(name string) (repository, reference string, err error) {
	repository, reference, ok := strings.Cut(name, "@")
	if !ok {
		repository, reference, ok = strings.Cut(name, ":")
	}
	if !ok || repository == "" || reference == "" {
		return "", "", fmt.Errorf("export %q: expected REPOSITORY@DIGEST or REPOSITORY:TAG: %w", name, nbd.ErrUnknownExport)
	}
	return repository, reference, nil
}

// authorize says who a client is, if it may do something.
func (x *Exports) authorize(ctx context.Context, peer nbd.Peer, need registry.Need) (registry.Principal, error) {
	asks := (&http.Request{Method: http.MethodGet, Header: make(http.Header), RemoteAddr: peer.Addr.String(), TLS: peer.TLS}).WithContext(ctx)
	return x.access.Authorize(asks, need)
}

// manifest returns what a reference names: of an index, the manifest that is
// rendered.
func (x *Exports) manifest(ctx context.Context, repository, reference string) (m metadata.Manifest, err error) {
	if d := digest.Digest(reference); d.Validate() == nil {
		m, err = x.renderer.meta.Manifest(ctx, repository, d)
	} else {
		m, err = x.renderer.meta.Tagged(ctx, repository, reference)
	}
	if err != nil || !api.IsIndex(m.MediaType) {
		return m, err
	}
	child, err := chooseManifest(m)
	if err != nil {
		return m, err
	}
	return x.renderer.meta.Manifest(ctx, repository, child)
}

// plan returns the map of a disk.
func (x *Exports) plan(ctx context.Context, repository string, m metadata.Manifest) (*extent.Map, error) {
	if plan, ok := x.plans.Get(m.Digest); ok {
		return plan, nil
	}
	plan, err := x.makePlan(ctx, repository, m)
	if err != nil {
		return nil, err
	}
	x.plans.Add(m.Digest, plan, plan.Memory())
	return plan, nil
}

func (x *Exports) makePlan(ctx context.Context, repository string, stored metadata.Manifest) (*extent.Map, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(stored.Raw, &m); err != nil {
		return nil, fmt.Errorf("manifest %s: %w", stored.Digest, err)
	}
	if m.ArtifactType == "" {
		p, err := x.renderer.plan(ctx, repository, api.RenderRequest{Image: stored.Digest, Format: "raw"})
		if err != nil {
			return nil, err
		}
		return p.output.Files[0].Map, nil
	}
	imageType, _, ok := api.ParseArtifactKind(m.ArtifactType)
	if !ok || len(m.Layers) == 0 || !slices.Contains(attachable, imageType) {
		return nil, fmt.Errorf("an artifact of the type %s is no disk: %w", m.ArtifactType, nbd.ErrUnknownExport)
	}
	layer := m.Layers[0]
	if _, _, framed := api.FramedContent(layer.MediaType, layer.Annotations); !framed {
		return x.renderer.blobs.Map(ctx, layer.Digest)
	}
	g, err := x.renderer.load(ctx, repository, stored.Digest)
	if err != nil {
		return nil, err
	}
	return g.content.Map, nil
}

// List lists the tags that a client may pull, at most a thousand. Most of them are
// disks.
func (x *Exports) List(ctx context.Context, peer nbd.Peer) ([]nbd.Listed, error) {
	who, err := x.authorize(ctx, peer, registry.Need{Action: registry.ActionList})
	if err != nil {
		return nil, err
	}
	repositories, err := x.renderer.meta.Repositories(ctx, "", maxListed)
	if err != nil {
		return nil, err
	}
	var all []nbd.Listed
	for _, name := range repositories {
		if who != nil && !who.May(registry.Need{Action: registry.ActionPull, Repository: name}) {
			continue
		}
		tags, err := x.renderer.meta.Tags(ctx, name, "", maxListed-len(all))
		if err != nil {
			return nil, err
		}
		for _, tag := range tags {
			all = append(all, nbd.Listed{Name: name + ":" + tag})
		}
		if len(all) >= maxListed {
			break
		}
	}
	return all, nil
}
