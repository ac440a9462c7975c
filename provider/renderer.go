package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/singleflight"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/cache"
	"github.com/cloudlets/cloudlets/converter"
	"github.com/cloudlets/cloudlets/converter/grub"
	"github.com/cloudlets/cloudlets/image/template"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

const (
	// imageBudget bounds the trees of images kept in memory, in bytes.
	imageBudget = 64 << 20
	// maxSealing is how many outputs are hashed at the same time. One keeps two
	// cores busy.
	maxSealing = 2
	// maxPlanning is how long a request waits for what has to be compressed
	// before it can be read.
	maxPlanning = time.Second
	// maxFailed is how many failed renders are remembered.
	maxFailed = 100
)

// Publisher puts manifests into repositories: a registry.Server is one.
type Publisher interface {
	PutManifest(ctx context.Context, repository, reference, mediaType string, raw []byte, tags ...string) (metadata.Manifest, error)
}

// Renderer renders the images of a registry. Outputs are readable as soon as
// they are planned; their digests are computed afterwards, in the background.
type Renderer struct {
	store
	publisher Publisher
	log       *slog.Logger

	layers    layers
	templates template.Runner
	packer    grub.Packer
	images    *cache.Cache[digest.Digest, *golden] // by manifest
	loading   singleflight.Group                   // by repository and manifest
	sealing   chan struct{}                        // a place each

	observe    func(outcome string, took time.Duration)
	background context.Context // of work that outlives its request
	stop       context.CancelFunc
	running    sync.WaitGroup

	mu     sync.Mutex
	jobs   map[jobKey]*job // under way, or failed
	failed []*job          // the oldest first
}

// jobKey names a render of a repository.
type jobKey struct {
	repository string
	derivation digest.Digest
}

// New returns a renderer. It must be closed.
func New(blobs *blobstore.Store, meta *metadata.Store, publisher Publisher, log *slog.Logger) *Renderer {
	ctx, stop := context.WithCancel(context.Background())
	held := store{blobs: blobs, meta: meta}
	return &Renderer{
		store:      held,
		publisher:  publisher,
		log:        log,
		layers:     layers{store: held},
		images:     cache.New[digest.Digest, *golden](imageBudget),
		sealing:    make(chan struct{}, maxSealing),
		observe:    func(string, time.Duration) {},
		background: ctx,
		stop:       stop,
		jobs:       make(map[jobKey]*job),
	}
}

// Observe has f told of every render that ends, by its state. It is called before
// the first one begins.
func (r *Renderer) Observe(f func(outcome string, took time.Duration)) { r.observe = f }

// UnderWay counts the renders that are being planned, and those whose output can
// be read and is being stored.
func (r *Renderer) UnderWay() (planning, storing int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, j := range r.jobs {
		switch {
		case j.failure() != nil:
		case j.plan() == nil:
			planning++
		default:
			storing++
		}
	}
	return planning, storing
}

// Close ends what goes on in the background. A render that is cut short is
// planned again when it is next asked for.
func (r *Renderer) Close() {
	r.stop()
	r.running.Wait()
}

// Prepare makes the layers of an image ready to be rendered, in the
// background. A render does it too, and waits for it.
func (r *Renderer) Prepare(repository string, d digest.Digest) {
	r.running.Go(func() {
		if err := r.prepare(repository, d); err != nil && r.background.Err() == nil {
			r.log.Warn("image cannot be rendered", "repository", repository, "digest", d, "error", err)
		}
	})
}

// prepare loads an image of frames. Other layers have to be stored again to be
// rendered, which waits until somebody wants that.
func (r *Renderer) prepare(repository string, d digest.Digest) error {
	m, err := r.meta.Manifest(r.background, repository, d)
	if err != nil {
		return err
	}
	if !strings.Contains(string(m.Raw), api.AnnotationFramesDigest) {
		return nil
	}
	_, err = r.load(r.background, repository, d)
	return err
}

// Render plans an output and begins to compute its digest, or returns the state
// of a render that was asked for before.
func (r *Renderer) Render(ctx context.Context, repository string, req api.RenderRequest) (api.Render, error) {
	if err := req.Image.Validate(); err != nil {
		return api.Render{}, badRequest("image digest %q: %w", req.Image, err)
	}
	d := converter.Derive(req)
	params := d.Parameters()
	if err := params.Check(); err != nil {
		return api.Render{}, badRequest("%w", err)
	}
	// What was rendered of an image may outlive it for a while.
	if _, err := r.meta.StatManifest(ctx, repository, req.Image); err != nil {
		return api.Render{}, fmt.Errorf("image %s: %w", req.Image, err)
	}
	if string(req.Config) == "null" {
		req.Config = nil
	}
	var err error
	if d.Config, err = r.canonical(ctx, repository, req); err != nil {
		return api.Render{}, err
	}
	canonical, key, err := d.Canonical()
	if err != nil {
		return api.Render{}, err
	}
	state, err := r.State(ctx, repository, key)
	// One whose blob is damaged is made again, which repairs it.
	if !errors.Is(err, metadata.ErrRenderUnknown) && !errors.Is(err, metadata.ErrBlobUnknown) && state.State != api.RenderFailed {
		return state, err
	}
	j := r.begin(jobKey{repository, key}, canonical, req)
	var patience <-chan time.Time // none: planning is quick
	if params.ReadsContent() {
		timer := time.NewTimer(maxPlanning)
		defer timer.Stop()
		patience = timer.C
	}
	select {
	case <-j.planned:
		return j.state(), j.planError()
	case <-patience:
		return j.state(), nil
	case <-ctx.Done():
		return api.Render{}, ctx.Err()
	}
}

// begin returns the job of a render, started if there is none.
func (r *Renderer) begin(k jobKey, parameters string, req api.RenderRequest) *job {
	r.mu.Lock()
	defer r.mu.Unlock()
	if j, ok := r.jobs[k]; ok && j.failure() == nil {
		return j
	}
	j := newJob(k, parameters, req)
	r.jobs[k] = j
	r.running.Go(func() {
		began := time.Now()
		r.run(r.background, j)
		r.forget(j)
		r.observe(j.state().State, time.Since(began))
	})
	return j
}

// forget drops a job that was done: the metadata knows it now. One that failed
// stays, to say so, until it is tried again or maxFailed others have failed.
func (r *Renderer) forget(j *job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if j.failure() == nil {
		delete(r.jobs, j.key)
		return
	}
	if r.failed = append(r.failed, j); len(r.failed) > maxFailed {
		if oldest := r.failed[0]; r.jobs[oldest.key] == oldest {
			delete(r.jobs, oldest.key)
		}
		r.failed = r.failed[1:]
	}
}

// job returns a render that is under way, or nil.
func (r *Renderer) job(repository string, key digest.Digest) *job {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.jobs[jobKey{repository, key}]
}

// State returns the state of a render. The error wraps
// metadata.ErrRenderUnknown where nobody has asked for it.
func (r *Renderer) State(ctx context.Context, repository string, key digest.Digest) (api.Render, error) {
	if j := r.job(repository, key); j != nil {
		return j.state(), nil
	}
	done, err := r.meta.Render(ctx, repository, key)
	if err != nil {
		return api.Render{}, err
	}
	record, err := r.meta.Blob(ctx, repository, done.Blob)
	if err != nil {
		return api.Render{}, err
	}
	state := api.Render{
		Key: key, State: api.RenderDone, Size: record.Size,
		Content: contentPath(repository, key), Blob: done.Blob, Artifact: done.Artifact,
	}
	artifact, err := r.document(ctx, repository, done.Artifact)
	if err != nil {
		return state, err
	}
	converter.Describe(&state, artifact.Annotations)
	layers, err := r.layersOf(ctx, repository, artifact)
	for _, l := range layers {
		name := l.Annotations[ocispec.AnnotationTitle]
		state.Files = append(state.Files, api.RenderFile{
			Name: name, MediaType: l.MediaType, Size: l.Size, Content: state.Content + "/" + name, Blob: l.Digest,
		})
		state.Hashed += l.Size
	}
	return state, err
}

// document is a derived artifact: a manifest, or an index of some.
type document struct {
	Manifests   []ocispec.Descriptor `json:"manifests"`
	Layers      []ocispec.Descriptor `json:"layers"`
	Annotations map[string]string    `json:"annotations"`
}

func (r *Renderer) document(ctx context.Context, repository string, d digest.Digest) (m document, err error) {
	stored, err := r.meta.Manifest(ctx, repository, d)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(stored.Raw, &m); err != nil {
		return m, fmt.Errorf("derived artifact %s: %w", d, err)
	}
	return m, nil
}

// layersOf returns the layers of a manifest, or of those of an index.
func (r *Renderer) layersOf(ctx context.Context, repository string, m document) ([]ocispec.Descriptor, error) {
	layers := m.Layers
	for _, d := range m.Manifests {
		child, err := r.document(ctx, repository, d.Digest)
		if err != nil {
			return nil, err
		}
		layers = append(layers, child.Layers...)
	}
	return layers, nil
}

// run plans the output of a job, then stores and publishes it.
func (r *Renderer) run(ctx context.Context, j *job) {
	p, err := r.plan(ctx, j.key.repository, j.request)
	j.setPlan(p, err)
	if err != nil {
		return
	}
	r.sealing <- struct{}{}
	defer func() { <-r.sealing }()
	j.finish(r.publish(ctx, j, p))
	if err := j.failure(); err != nil && ctx.Err() == nil {
		r.log.Error("render failed", "repository", j.key.repository, "image", j.request.Image, "format", j.request.Format, "error", err)
	}
}

// planned is an output that was planned.
type planned struct {
	image  *golden
	output converter.Output
	unused []string // parts of the configuration without effect
}

// plan returns the map of an output.
func (r *Renderer) plan(ctx context.Context, repository string, req api.RenderRequest) (p planned, err error) {
	if p.image, err = r.load(ctx, repository, req.Image); err != nil {
		return p, err
	}
	params := converter.Derive(req).Parameters()
	params.Manifest = p.image.manifest
	params.Disk.Seed, params.Disk.Packer = p.image.descriptor.Digest.String(), &r.packer
	if req.Bootkit != nil {
		kit, err := r.load(ctx, req.Bootkit.Repository, req.Bootkit.Digest)
		if err != nil {
			return p, fmt.Errorf("boot kit: %w", err)
		}
		if kit.content != nil {
			return p, unrenderable(fmt.Errorf("boot kit: %s is a %s", req.Bootkit.Digest, kit.content.Type))
		}
		params.Disk.Kit = kit.tree
	}
	tree, unused, err := r.configured(ctx, p.image, req)
	if err != nil {
		return p, err
	}
	p.unused = unused
	in := converter.Input{Tree: tree, Content: p.image.content, Open: r.blobs, Spool: spool{r.store, repository}}
	if req.Parent != "" {
		if in.Parent, err = r.parentOf(ctx, repository, req); err != nil {
			return p, err
		}
	}
	p.output, err = converter.Render(ctx, in, params)
	return p, unrenderable(err)
}
