package gc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/registry/clocktest"
	"github.com/cloudlets/cloudlets/registry/metadata"
	"github.com/cloudlets/cloudlets/registry/metadata/pgtest"
)

// engines open an empty store of each kind.
var engines = map[string]func(testing.TB, metadata.Options) *metadata.Store{
	"sqlite": func(t testing.TB, o metadata.Options) *metadata.Store {
		return opened(t)(metadata.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "registry.db"), o))
	},
	"postgres": func(t testing.TB, o metadata.Options) *metadata.Store {
		return opened(t)(metadata.OpenPostgres(t.Context(), pgtest.Database(t), o))
	},
}

func opened(t testing.TB) func(*metadata.Store, error) *metadata.Store {
	return func(s *metadata.Store, err error) *metadata.Store {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
}

// world is a registry's inside, and what its clients were told.
type world struct {
	t      testing.TB
	ctx    context.Context
	rand   *rand.Rand
	clock  *clocktest.Clock
	memory *memory
	meta   *metadata.Store
	blobs  *blobstore.Store
	gc     *Collector

	acked map[name]*acked
	gone  map[name]*acked // removed on request, to be undeleted
	tags  map[[2]string]digest.Digest
	holds map[[2]string]bool
	told  map[name]time.Time // when a client was told that a blob is there
	tasks []*task
	done  map[string]int // what happened, by kind
}

// name is a manifest in a repository.
type name struct {
	repository string
	digest     digest.Digest
}

// acked is a manifest that was acknowledged.
type acked struct {
	put    metadata.ManifestPut
	render bool // and recorded as one
}

// task is a client that is not done: its next step comes when its turn comes,
// or never.
type task struct {
	what string
	next func() (error, bool)
	stop func()
}

const (
	lease  = 24 * time.Hour
	upload = 24 * time.Hour
	delay  = 24 * time.Hour
)

func newWorld(t testing.TB, engine func(testing.TB, metadata.Options) *metadata.Store, seed uint64, policy Policy) *world {
	w := &world{
		t: t, ctx: t.Context(), rand: rand.New(rand.NewPCG(seed, 0)), memory: newMemory(),
		clock: clocktest.New(),
		acked: make(map[name]*acked), gone: make(map[name]*acked), tags: make(map[[2]string]digest.Digest),
		holds: make(map[[2]string]bool), told: make(map[name]time.Time), done: make(map[string]int),
	}
	w.meta = engine(t, metadata.Options{Clock: w.clock.Now, Lease: lease, Upload: upload, Trash: delay})
	var err error
	if w.blobs, err = blobstore.New(w.memory, w.meta); err != nil {
		t.Fatal(err)
	}
	w.gc, err = New(Config{Metadata: w.meta, Objects: w.memory, Blobs: w.blobs, Policy: policy, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// start begins a client whose steps seq yields: each yield is a point where
// anything else may happen, or it may die.
func (w *world) start(what string, steps func(yield func(error) bool)) {
	next, stop := iter.Pull(iter.Seq[error](steps))
	w.tasks = append(w.tasks, &task{what: what, next: next, stop: stop})
}

// step takes one client one step further.
func (w *world) step() {
	if len(w.tasks) == 0 {
		return
	}
	i := w.rand.IntN(len(w.tasks))
	task := w.tasks[i]
	err, more := task.next()
	if more && err == nil {
		return
	}
	w.tasks = slices.Delete(w.tasks, i, i+1)
	task.stop()
	switch {
	case err == nil:
		w.done[task.what]++
	case errors.Is(err, blobstore.ErrNotFound), errors.Is(err, metadata.ErrConflict),
		errors.Is(err, metadata.ErrInUse), errors.Is(err, metadata.ErrHeld):
		w.done[task.what+" refused"]++ // a client that was too slow, or wanted too much
	default:
		w.t.Fatalf("%s: %v", task.what, err)
	}
}

// abandon lets a client die.
func (w *world) abandon() {
	if len(w.tasks) == 0 {
		return
	}
	i := w.rand.IntN(len(w.tasks))
	w.tasks[i].stop()
	w.tasks = slices.Delete(w.tasks, i, i+1)
}

func (w *world) repository() string { return []string{"a", "b", "c/d"}[w.rand.IntN(3)] }
func (w *world) tag() string        { return []string{"v1", "v2", "latest"}[w.rand.IntN(3)] }

// content is one of few, so that clients meet.
func (w *world) content() []byte { return fmt.Appendf(nil, "content %d", w.rand.IntN(12)) }

// pushBlob pushes a blob and notes when its client was told that it is there.
func (w *world) pushBlob(repository string, content []byte, yield func(error) bool) (digest.Digest, error) {
	d, err := w.sendBlob(repository, content, yield)
	if err == nil {
		w.told[name{repository, d}] = w.clock.Now()
	}
	return d, err
}

// sendBlob pushes a blob in the steps of a client: ask, upload, commit.
func (w *world) sendBlob(repository string, content []byte, yield func(error) bool) (digest.Digest, error) {
	d := digest.FromBytes(content)
	ask := w.rand.IntN(3)
	if ask == 0 {
		if err := w.meta.MountBlob(w.ctx, repository, "", d); !errors.Is(err, blobstore.ErrNotFound) {
			return d, err
		}
	} else if _, err := w.meta.PromiseBlob(w.ctx, repository, d); !errors.Is(err, blobstore.ErrNotFound) {
		return d, err
	}
	if !yield(nil) {
		return d, io.ErrClosedPipe
	}
	writer, err := w.blobs.Create(w.ctx, digest.SHA256)
	if err != nil {
		return d, err
	}
	var u *metadata.Upload
	if w.rand.IntN(2) == 0 {
		if u, err = w.beginUpload(repository, writer); err != nil {
			return d, err
		}
	}
	if !yield(nil) {
		return d, io.ErrClosedPipe
	}
	if _, err := writer.Write(content); err != nil {
		return d, err
	}
	record, err := writer.Seal(w.ctx, d)
	if err != nil {
		return d, err
	}
	if !yield(nil) {
		return d, io.ErrClosedPipe
	}
	_, err = w.meta.CommitBlob(w.ctx, repository, record, u)
	return d, err
}

func (w *world) beginUpload(repository string, writer *blobstore.Writer) (*metadata.Upload, error) {
	state, err := writer.Saved()
	if err != nil {
		return nil, err
	}
	u, err := w.meta.CreateUpload(w.ctx, repository, writer.Key(), state)
	return &u, err
}

// pushImage pushes one or two blobs and a manifest, often with a tag.
func (w *world) pushImage() {
	repository := w.repository()
	var contents [][]byte
	for range 1 + w.rand.IntN(2) {
		contents = append(contents, w.content())
	}
	var tags []string
	if w.rand.IntN(4) > 0 {
		tags = append(tags, w.tag())
	}
	w.start("push", func(yield func(error) bool) {
		var refs []metadata.Reference
		for _, content := range contents {
			d, err := w.pushBlob(repository, content, yield)
			if err == io.ErrClosedPipe {
				return
			}
			if err != nil || !yield(nil) {
				yield(err)
				return
			}
			refs = append(refs, metadata.Reference{Digest: d, Kind: metadata.RefLayer})
		}
		yield(w.put(repository, refs, "", tags...))
	})
}

// pushFrames pushes an image of a layer that reads little of a blob which no
// manifest refers to, as a push of frames leaves it once elder layers are gone.
func (w *world) pushFrames() {
	repository, tag := w.repository(), w.tag()
	content := fmt.Appendf(nil, "frames %d", w.rand.IntN(1000))
	w.start("frames", func(yield func(error) bool) {
		d, err := w.pushBlob(repository, content, yield)
		if err == io.ErrClosedPipe {
			return
		}
		var m *extent.Map
		if err == nil {
			m, err = w.derive([]metadata.Reference{{Digest: d, Kind: metadata.RefLayer}}, 0)
		}
		if err != nil || !yield(nil) {
			yield(err)
			return
		}
		record, err := w.blobs.SealMap(w.ctx, m, "", nil)
		if err != nil || !yield(nil) {
			yield(err)
			return
		}
		if record, err = w.meta.CommitBlob(w.ctx, repository, record, nil); err != nil || !yield(nil) {
			yield(err)
			return
		}
		yield(w.put(repository, []metadata.Reference{{Digest: record.Digest, Kind: metadata.RefLayer}}, "", tag))
	})
}

// pushIndex puts an index of manifests that were acknowledged.
func (w *world) pushIndex() {
	m, ok := w.pick()
	if !ok {
		return
	}
	w.start("index", func(yield func(error) bool) {
		refs := []metadata.Reference{{Digest: m.digest, Kind: metadata.RefChild, Sparse: true}}
		yield(w.put(m.repository, refs, "", w.tag()))
	})
}

// put puts a manifest and notes that it was acknowledged.
func (w *world) put(repository string, refs []metadata.Reference, subject digest.Digest, tags ...string) error {
	raw := fmt.Appendf(nil, "%v %s", refs, subject)
	p := metadata.ManifestPut{
		Repository: repository, References: refs, Tags: tags, Actor: "client",
		Manifest: metadata.Manifest{Digest: digest.FromBytes(raw), MediaType: "m", Subject: subject, Size: int64(len(raw)), Raw: raw},
	}
	if err := w.meta.PutManifest(w.ctx, p); err != nil {
		w.wantPromisesKept(repository, err)
		return err
	}
	n := name{repository, p.Manifest.Digest}
	if w.acked[n] == nil {
		w.acked[n] = &acked{put: p}
	}
	delete(w.gone, n)
	for _, tag := range tags {
		w.tags[[2]string{repository, tag}] = n.digest
	}
	return nil
}

// wantPromisesKept checks that no blob is missing that a client was told is
// there less than half a lease ago.
func (w *world) wantPromisesKept(repository string, err error) {
	w.t.Helper()
	var missing *metadata.MissingError
	if !errors.As(err, &missing) {
		return
	}
	for _, d := range missing.Digests {
		if at, ok := w.told[name{repository, d}]; ok && w.clock.Now().Sub(at) < lease/2 {
			w.t.Fatalf("blob %s of %s is missing, promised %v ago", d, repository, w.clock.Now().Sub(at))
		}
	}
}

// render derives a blob from an image's layers, as a map, and puts an artifact
// that refers to the image.
func (w *world) render() {
	image, ok := w.pick()
	if !ok {
		return
	}
	layers := w.acked[image].put.References
	salt := w.rand.IntN(3)
	w.start("render", func(yield func(error) bool) {
		m, err := w.derive(layers, salt)
		if err != nil || !yield(nil) {
			yield(err)
			return
		}
		record, err := w.blobs.SealMap(w.ctx, m, "", nil)
		if err != nil || !yield(nil) {
			yield(err)
			return
		}
		record, err = w.meta.CommitBlob(w.ctx, image.repository, record, nil)
		if err != nil || !yield(nil) {
			yield(err)
			return
		}
		refs := []metadata.Reference{{Digest: record.Digest, Kind: metadata.RefLayer}}
		raw := fmt.Appendf(nil, "%v %s", refs, image.digest)
		if err := w.put(image.repository, refs, image.digest); err != nil || !yield(nil) {
			yield(err)
			return
		}
		artifact := name{image.repository, digest.FromBytes(raw)}
		err = w.meta.SaveRender(w.ctx, image.repository, metadata.Render{
			Derivation: digest.FromString(fmt.Sprint(image, salt)), Artifact: artifact.digest, Blob: record.Digest,
		})
		if err == nil {
			w.acked[artifact].render = true
		}
		yield(err)
	})
}

// derive returns a map over the layers of an image.
func (w *world) derive(layers []metadata.Reference, salt int) (*extent.Map, error) {
	var b extent.Builder
	b.Inline(fmt.Appendf(nil, "header %d", salt))
	for _, l := range layers {
		if l.Kind != metadata.RefLayer {
			continue
		}
		r, err := w.meta.LookupBlob(w.ctx, l.Digest)
		if err != nil {
			return nil, err
		}
		b.Source(extent.Digest(l.Digest), 1, r.Size*int64(salt+1)/4) // of some little, so that they are rewritten
	}
	m, err := b.Build()
	if err != nil {
		return nil, err
	}
	return w.blobs.Flatten(w.ctx, m)
}

// pick returns an acknowledged manifest.
func (w *world) pick() (name, bool) { return pick(w.rand, w.acked) }

func pick(r *rand.Rand, from map[name]*acked) (name, bool) {
	if len(from) == 0 {
		return name{}, false
	}
	names := make([]name, 0, len(from))
	for n := range from {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b name) int {
		if a.repository != b.repository {
			if a.repository < b.repository {
				return -1
			}
			return 1
		}
		if a.digest < b.digest {
			return -1
		}
		return 1
	})
	return names[r.IntN(len(names))], true
}

// deleteTag deletes a tag.
func (w *world) deleteTag() {
	key := [2]string{w.repository(), w.tag()}
	w.start("delete tag", func(yield func(error) bool) {
		err := w.meta.DeleteTag(w.ctx, key[0], key[1], "client")
		if err == nil {
			delete(w.tags, key)
		}
		yield(err)
	})
}

// deleteManifest deletes a manifest with its tags.
func (w *world) deleteManifest() {
	n, ok := w.pick()
	if !ok {
		return
	}
	w.start("delete manifest", func(yield func(error) bool) {
		err := w.meta.DeleteManifest(w.ctx, n.repository, n.digest, "client")
		if err == nil {
			w.forget(n)
		}
		yield(err)
	})
}

// forget notes that a manifest is gone.
func (w *world) forget(n name) {
	w.gone[n] = w.acked[n]
	delete(w.acked, n)
	for key, d := range w.tags {
		if key[0] == n.repository && d == n.digest {
			delete(w.tags, key)
		}
	}
}

// pushLoose pushes a blob that no manifest refers to, and deletes it at times.
func (w *world) pushLoose() {
	repository, content := w.repository(), w.content()
	w.start("loose blob", func(yield func(error) bool) {
		d, err := w.pushBlob(repository, content, yield)
		if err == io.ErrClosedPipe {
			return
		}
		if err == nil && w.rand.IntN(2) == 0 {
			if !yield(nil) {
				return
			}
			if err = w.meta.RemoveBlob(w.ctx, repository, d); err == nil {
				delete(w.told, name{repository, d})
			}
		}
		yield(err)
	})
}

// hold puts a manifest on hold, or lifts one.
func (w *world) hold() {
	n, ok := w.pick()
	if !ok {
		return
	}
	key := [2]string{n.repository, string(n.digest)}
	w.start("hold", func(yield func(error) bool) {
		if w.holds[key] {
			delete(w.holds, key)
			yield(w.meta.LiftHold(w.ctx, n.repository, string(n.digest)))
			return
		}
		err := w.meta.SetHold(w.ctx, n.repository, metadata.Hold{Reference: string(n.digest), Reason: "test"})
		if err == nil {
			w.holds[key] = true
		}
		yield(err)
	})
}

// undelete puts a manifest again that was removed.
func (w *world) undelete() {
	n, ok := pick(w.rand, w.gone)
	if !ok {
		return
	}
	removed := w.gone[n]
	w.start("undelete", func(yield func(error) bool) {
		yield(Undelete(w.ctx, w.meta, n.repository, n.digest, func(context.Context, metadata.Grave) error {
			p := removed.put
			return w.put(p.Repository, p.References, p.Manifest.Subject)
		}))
	})
}

// errCrash is what the collector is stopped with.
var errCrash = errors.New("crash")

// collect takes the collector some steps further, and lets it crash at times
// while it removes objects.
func (w *world) collect() {
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	crash := w.rand.IntN(3)
	w.memory.failRemove = func(done bool) error {
		if (crash == 1 && !done) || (crash == 2 && done) {
			cancel() // and nothing after it reaches the database
			return errCrash
		}
		return nil
	}
	defer func() { w.memory.failRemove = nil }()
	limit := 1 + w.rand.IntN(5)
	var err error
	switch w.rand.IntN(8) {
	case 7:
		var done Repacked
		if crash == 1 { // before anything is committed
			_, err = w.gc.eachPack(ctx, func(old blobstore.Record, maps []blobstore.Record) error {
				_, err := w.blobs.Repack(ctx, old, maps)
				return err
			})
			break
		}
		done, err = w.gc.Repack(ctx)
		w.done["repack"] += done.Packs
	case 0:
		_, err = w.meta.ExpireUploads(ctx, limit)
	case 1:
		_, err = w.meta.ExpireLeases(ctx, limit)
	case 2:
		_, err = w.meta.ExpireGraves(ctx, limit)
	case 3, 4:
		_, err = w.meta.Review(ctx, limit, w.gc.keepUntagged)
	case 5:
		_, err = w.gc.sweep(ctx, limit, new(int64))
	default:
		_, err = w.gc.FindOrphans(ctx)
	}
	if err != nil && !errors.Is(err, errCrash) {
		w.t.Fatalf("collect: %v", err)
	}
}
