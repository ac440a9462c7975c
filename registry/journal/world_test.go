package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/file"
	"github.com/cloudlets/cloudlets/blobstore/s3"
	"github.com/cloudlets/cloudlets/blobstore/s3/s3test"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/registry"
	"github.com/cloudlets/cloudlets/registry/gc"
	"github.com/cloudlets/cloudlets/registry/metadata"
	"github.com/cloudlets/cloudlets/registry/metadata/pgtest"
)

// engines open a new, empty database of each kind.
var engines = map[string]func(testing.TB, metadata.Options) (*metadata.Store, error){
	"sqlite": func(t testing.TB, o metadata.Options) (*metadata.Store, error) {
		return metadata.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "metadata.sqlite"), o)
	},
	"postgres": func(t testing.TB, o metadata.Options) (*metadata.Store, error) {
		return metadata.OpenPostgres(t.Context(), pgtest.Database(t), o)
	},
}

// drivers open an empty store of each kind.
var drivers = map[string]func(testing.TB) blobstore.Driver{
	"file": func(t testing.TB) blobstore.Driver {
		d, err := file.New(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return d
	},
	"s3": func(t testing.TB) blobstore.Driver {
		name, proxy := s3test.Bucket(t)
		d, err := s3.New(t.Context(), s3.Config{
			Endpoint: proxy.URL, Bucket: name, Region: s3test.Region, PartSize: 8 << 20, SpoolDir: t.TempDir(),
			Credentials: credentials.NewStaticV4(s3test.AccessKey, s3test.SecretKey, ""), Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		return d
	},
}

// dying is a driver that dies at a step, with all that was under way.
type dying struct {
	blobstore.Driver
	mu    sync.Mutex
	steps int // until it dies; negative is never
	die   context.CancelFunc
}

var errDead = errors.New("dead")

// step counts, and says whether it is over.
func (d *dying) step() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.steps < 0 {
		return nil
	}
	if d.steps == 0 {
		d.die()
		return errDead
	}
	d.steps--
	return nil
}

// until lets it die after some steps, or never, and returns the context that
// dies with it.
func (d *dying) until(ctx context.Context, steps int) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.steps, d.die = steps, cancel
	return ctx
}

func (d *dying) Create(ctx context.Context) (blobstore.ObjectWriter, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	w, err := d.Driver.Create(ctx)
	return &dyingWriter{w, d}, err
}

type dyingWriter struct {
	blobstore.ObjectWriter
	driver *dying
}

func (w *dyingWriter) Write(p []byte) (int, error) {
	if err := w.driver.step(); err != nil {
		return 0, err
	}
	return w.ObjectWriter.Write(p)
}

func (w *dyingWriter) Seal(ctx context.Context, label blobstore.Label) (string, error) {
	if err := w.driver.step(); err != nil {
		return "", err
	}
	key, err := w.ObjectWriter.Seal(ctx, label)
	if dead := w.driver.step(); dead != nil { // sealed, and nobody knows
		return "", dead
	}
	return key, err
}

// world is a registry and what was ever pushed to it.
type world struct {
	t      testing.TB
	ctx    context.Context
	rand   *rand.Rand
	engine func(testing.TB, metadata.Options) (*metadata.Store, error)
	now    time.Time

	driver *dying
	meta   *metadata.Store
	blobs  *blobstore.Store
	keeper *Keeper
	server *registry.Server
	holds  *gc.Handler
	gc     *gc.Collector

	pushed   map[string]map[digest.Digest]bool // digests of manifests, by repository
	contents map[digest.Digest][]byte
	derived  map[digest.Digest]bool // digests of derivations
	happened map[string]int
	saved    picture // as of the last journal
	rebuilt  Report
}

const day = 24 * time.Hour

func newWorld(t testing.TB, engine, driver string, seed uint64) *world {
	w := &world{
		t: t, ctx: t.Context(), rand: rand.New(rand.NewPCG(seed, 1)), engine: engines[engine],
		now: time.Unix(1_700_000_000, 0), driver: &dying{Driver: drivers[driver](t), steps: -1},
		pushed: make(map[string]map[digest.Digest]bool), contents: make(map[digest.Digest][]byte),
		derived: make(map[digest.Digest]bool), happened: make(map[string]int),
	}
	w.open()
	w.must(Bind(w.ctx, w.meta, w.driver, "store"))
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// open begins with an empty database.
func (w *world) open() {
	w.t.Helper()
	meta, err := w.engine(w.t, metadata.Options{Clock: func() time.Time { return w.now }, Lease: day, Upload: day, Trash: day})
	w.must(err)
	w.t.Cleanup(func() { meta.Close() })
	w.use(meta)
}

// use serves from a database.
func (w *world) use(meta *metadata.Store) {
	w.t.Helper()
	w.meta = meta
	var err error
	w.blobs, err = blobstore.New(w.driver, meta)
	w.must(err)
	w.server, err = registry.New(registry.Config{
		Blobs: w.blobs, Metadata: meta, Log: slog.New(slog.DiscardHandler),
		Extensions: map[string]registry.ExtensionHandler{
			"retention": func(rw http.ResponseWriter, r *http.Request, name, rest string) error {
				return w.holds.ServeExtension(rw, r, name, rest)
			},
		},
	})
	w.must(err)
	w.holds = gc.NewHandler(meta, w.server)
	w.keeper = NewKeeper(w.config())
	w.gc, err = gc.New(gc.Config{Metadata: meta, Objects: w.driver, Log: slog.New(slog.DiscardHandler)})
	w.must(err)
}

func (w *world) config() Config {
	return Config{Metadata: w.meta, Blobs: w.blobs, Spool: w.t.TempDir(), Log: slog.New(slog.DiscardHandler)}
}

// lose throws the database away and rebuilds it.
func (w *world) lose() {
	w.t.Helper()
	w.open()
	if err := Bind(w.ctx, w.meta, w.driver, "store"); !errors.Is(err, ErrLostDatabase) {
		w.t.Fatalf("a new database over objects: got %v", err)
	}
	var err error
	w.rebuilt, err = Rebuild(w.ctx, w.config(), "store")
	w.must(err)
	if len(w.rebuilt.Lost) > 0 || len(w.rebuilt.Problems) > 0 {
		w.t.Fatalf("got %+v", w.rebuilt)
	}
	w.must(Bind(w.ctx, w.meta, w.driver, "store"))
}

// request sends a request and returns the answer.
func (w *world) request(method, path string, body []byte, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(w.ctx, method, path, bytes.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer := httptest.NewRecorder()
	w.server.ServeHTTP(answer, r)
	if answer.Code >= 500 {
		w.t.Fatalf("%s %s: %d %s", method, path, answer.Code, answer.Body)
	}
	return answer
}

// count notes whether something happened.
func (w *world) count(what string, answer *httptest.ResponseRecorder) bool {
	done := answer.Code < 300
	if !done {
		what += " refused"
	}
	w.happened[what]++
	return done
}

func (w *world) repository() string { return []string{"a", "b", "c/d"}[w.rand.IntN(3)] }
func (w *world) tag() string        { return []string{"v1", "v2", "latest"}[w.rand.IntN(3)] }

// content is one of few, so that repositories share.
func (w *world) content() []byte {
	b := bytes.Repeat(fmt.Appendf(nil, "content %d ", w.rand.IntN(12)), 50)
	w.contents[digest.FromBytes(b)] = b
	return b
}

func (w *world) pushBlob(repository string, content []byte) digest.Digest {
	w.t.Helper()
	d := digest.FromBytes(content)
	w.contents[d] = content
	path := "/v2/" + repository + "/blobs/uploads/?"
	if w.rand.IntN(3) == 0 {
		if w.request("POST", path+"mount="+string(d), nil).Code == 201 {
			return d
		}
	}
	if a := w.request("POST", path+"digest="+string(d), content); a.Code != 201 {
		w.t.Fatalf("push: %d %s", a.Code, a.Body)
	}
	return d
}

func (w *world) putManifest(repository, mediaType string, manifest any, tags ...string) digest.Digest {
	w.t.Helper()
	raw, err := json.Marshal(manifest)
	w.must(err)
	d := digest.FromBytes(raw)
	path := "/v2/" + repository + "/manifests/" + string(d) + "?"
	for _, tag := range tags {
		path += "&tag=" + tag
	}
	if w.count("push", w.request("PUT", path, raw, "Content-Type", mediaType)) {
		if w.pushed[repository] == nil {
			w.pushed[repository] = make(map[digest.Digest]bool)
		}
		w.pushed[repository][d] = true
	}
	return d
}

func (w *world) tags() []string {
	if w.rand.IntN(3) == 0 {
		return nil
	}
	return []string{w.tag()}
}

func (w *world) image(repository string, subject digest.Digest, blobs ...digest.Digest) ocispec.Manifest {
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest}
	m.SchemaVersion = 2
	m.Config = ocispec.Descriptor{MediaType: "application/vnd.oci.empty.v1+json", Digest: w.pushBlob(repository, []byte("{}")), Size: 2}
	m.Layers = []ocispec.Descriptor{}
	for _, d := range blobs {
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: d, Size: int64(len(w.contents[d]))})
	}
	if subject != "" {
		m.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: 1}
		m.ArtifactType = "application/x." + string(subject[len(subject)-1:])
	}
	return m
}

func (w *world) pushImage() {
	repository := w.repository()
	var blobs []digest.Digest
	for range w.rand.IntN(3) {
		blobs = append(blobs, w.pushBlob(repository, w.content()))
	}
	var subject digest.Digest
	if w.rand.IntN(4) == 0 {
		subject, _ = w.pick(repository)
	}
	w.putManifest(repository, ocispec.MediaTypeImageManifest, w.image(repository, subject, blobs...), w.tags()...)
}

func (w *world) pushIndex() {
	repository := w.repository()
	child, ok := w.pick(repository)
	if !ok {
		return
	}
	x := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}
	x.SchemaVersion = 2
	x.Manifests = []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageManifest, Digest: child, Size: 1}}
	w.putManifest(repository, ocispec.MediaTypeImageIndex, x, w.tags()...)
}

// pick returns the digest of a manifest that was once pushed.
func (w *world) pick(repository string) (digest.Digest, bool) {
	all := sorted(w.pushed[repository])
	if len(all) == 0 {
		return "", false
	}
	return all[w.rand.IntN(len(all))], true
}

// render records a derived blob, a map over another one, as the renderer does.
func (w *world) render() {
	repository := w.repository()
	image, ok := w.pick(repository)
	source := w.content()
	if !ok {
		return
	}
	d := w.pushBlob(repository, source)
	var b extent.Builder
	b.Inline(fmt.Appendf(nil, "header %d", w.rand.IntN(3)))
	b.Source(extent.Digest(d), 5, 100)
	m, err := b.Build()
	w.must(err)
	record, err := w.blobs.SealMap(w.ctx, m, "", nil)
	w.must(err)
	_, err = w.meta.CommitBlob(w.ctx, repository, record, nil)
	w.must(err)
	w.contents[record.Digest] = nil
	artifact := w.putManifest(repository, ocispec.MediaTypeImageManifest, w.image(repository, image, record.Digest))
	derivation := digest.FromString(string(image) + string(record.Digest))
	err = w.meta.SaveRender(w.ctx, repository, metadata.Render{Derivation: derivation, Artifact: artifact, Blob: record.Digest, Parameters: "{}"})
	if !errors.Is(err, metadata.ErrManifestUnknown) {
		w.must(err)
		w.happened["render"]++
	}
	w.derived[derivation] = true
}

func (w *world) remove() {
	repository := w.repository()
	switch w.rand.IntN(3) {
	case 0:
		w.count("delete tag", w.request("DELETE", "/v2/"+repository+"/manifests/"+w.tag(), nil))
	case 1:
		if d, ok := w.pick(repository); ok {
			w.count("delete manifest", w.request("DELETE", "/v2/"+repository+"/manifests/"+string(d), nil))
		}
	default:
		d := w.pushBlob(repository, fmt.Appendf(nil, "loose %d", w.rand.IntN(10)))
		if w.rand.IntN(2) == 0 {
			w.count("delete blob", w.request("DELETE", "/v2/"+repository+"/blobs/"+string(d), nil))
		}
	}
}

func (w *world) hold() {
	repository, reference := w.repository(), w.tag()
	if d, ok := w.pick(repository); ok && w.rand.IntN(2) == 0 {
		reference = string(d)
	}
	path := "/v2/" + repository + "/_cloudlets/retention/holds/" + reference
	if w.rand.IntN(2) == 0 {
		w.count("lift", w.request("DELETE", path, nil))
		return
	}
	w.count("hold", w.request("PUT", path, []byte(`{"reason":"because"}`)))
}

// turn lets one thing happen.
func (w *world) turn() {
	switch n := w.rand.IntN(20); {
	case n < 9:
		w.pushImage()
	case n < 11:
		w.pushIndex()
	case n < 13:
		w.render()
	case n < 17:
		w.remove()
	default:
		w.hold()
	}
	w.now = w.now.Add(time.Duration(w.rand.IntN(int(time.Second))))
}

// picture is what clients see.
type picture map[string]string

// look takes a picture.
func (w *world) look() picture {
	p := make(picture)
	see := func(path string) {
		a := w.request("GET", path, nil)
		seen := fmt.Sprint(a.Code, " ", a.Header().Get("Content-Type"))
		if a.Code == 200 {
			seen += " " + a.Body.String()
		}
		p[path] = seen
	}
	see("/v2/_catalog")
	for _, repository := range []string{"a", "b", "c/d"} {
		base := "/v2/" + repository
		see(base + "/tags/list")
		see(base + "/_cloudlets/retention/holds")
		for _, tag := range []string{"v1", "v2", "latest"} {
			see(base + "/manifests/" + tag)
		}
		for d := range w.pushed[repository] {
			see(base + "/manifests/" + string(d))
			see(base + "/referrers/" + string(d))
		}
		for d := range w.contents {
			see(base + "/blobs/" + string(d))
		}
		for d := range w.derived {
			r, err := w.meta.Render(w.ctx, repository, d)
			p[base+" render "+string(d)] = fmt.Sprint(r, errors.Is(err, metadata.ErrRenderUnknown))
		}
		ages, err := w.meta.TagsByAge(w.ctx, repository)
		w.must(err)
		p[base+" ages"] = fmt.Sprint(ages)
		var recent []string
		w.must(w.meta.RecentManifests(w.ctx, repository, 1000, func(m metadata.Manifest) bool {
			recent = append(recent, fmt.Sprint(m.Digest, m.Created, m.ArtifactType))
			return true
		}))
		p[base+" recent"] = strings.Join(recent, "\n")
	}
	return p
}

// differences lists where two pictures differ.
func differences(a, b picture) []string {
	var all []string
	for path := range a {
		if b[path] != a[path] {
			all = append(all, fmt.Sprintf("%s:\n  before %.300q\n  after  %.300q", path, a[path], b[path]))
		}
	}
	slices.Sort(all)
	return all
}

func sorted(set map[digest.Digest]bool) []digest.Digest {
	var all []digest.Digest
	for d := range set {
		all = append(all, d)
	}
	slices.Sort(all)
	return all
}

// wantSound checks that rows and objects fit, and returns what was found.
func (w *world) wantSound() gc.Findings {
	w.t.Helper()
	found, err := gc.Check(w.ctx, w.meta, w.blobs, gc.CheckOptions{})
	w.must(err)
	if !found.Sound() {
		w.t.Fatalf("got %+v", found)
	}
	return found
}
