package scrub_test

import (
	"bytes"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/opencontainers/go-digest"
	"go.uber.org/goleak"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/file"
	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/blobstore/s3"
	"github.com/cloudlets/cloudlets/blobstore/s3/s3test"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/registry"
	"github.com/cloudlets/cloudlets/registry/clocktest"
	"github.com/cloudlets/cloudlets/registry/metadata"
	"github.com/cloudlets/cloudlets/registry/metadata/pgtest"
	"github.com/cloudlets/cloudlets/registry/scrub"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		// What pgtest shares among all tests: its server and a connection to it.
		goleak.IgnoreAnyFunction("os/exec.(*Cmd).writerDescriptor.func1"), goleak.IgnoreAnyFunction("database/sql.(*DB).connectionOpener"))
}

// place is where objects are, to be damaged by other means than a driver's.
type place interface {
	driver(t testing.TB) blobstore.Driver
	read(t testing.TB, key string) []byte
	write(t testing.TB, key string, content []byte)
	remove(t testing.TB, key string)
}

// directory is a place of files.
type directory string

func (d directory) driver(t testing.TB) blobstore.Driver {
	driver, err := file.New(string(d))
	must(t, err)
	return driver
}

func (d directory) path(key string) string { return filepath.Join(string(d), key) }

func (d directory) read(t testing.TB, key string) []byte {
	content, err := os.ReadFile(d.path(key))
	must(t, err)
	return content
}

func (d directory) write(t testing.TB, key string, content []byte) {
	must(t, os.MkdirAll(filepath.Dir(d.path(key)), 0o750))
	must(t, os.WriteFile(d.path(key), content, 0o600))
}

func (d directory) remove(t testing.TB, key string) { must(t, os.Remove(d.path(key))) }

// bucket is a place in an S3 server.
type bucket struct {
	config s3.Config
	proxy  *s3test.Proxy
	client *minio.Client
}

func newBucket(t testing.TB) *bucket {
	name, proxy := s3test.Bucket(t)
	keys := credentials.NewStaticV4(s3test.AccessKey, s3test.SecretKey, "")
	client, err := minio.New(strings.TrimPrefix(proxy.URL, "http://"), &minio.Options{Creds: keys, Region: s3test.Region})
	must(t, err)
	return &bucket{proxy: proxy, client: client, config: s3.Config{
		Endpoint: proxy.URL, Bucket: name, Region: s3test.Region, SpoolDir: t.TempDir(),
		Credentials: keys, Attempts: 2, Log: slog.New(slog.DiscardHandler),
	}}
}

func (b *bucket) driver(t testing.TB) blobstore.Driver {
	d, err := s3.New(t.Context(), b.config)
	must(t, err)
	t.Cleanup(func() { d.Close() })
	return d
}

// bytesOf is where the bucket has the bytes of an object: docs/store.md.
func bytesOf(key string) string {
	key, _, _ = strings.Cut(key, ".")
	return key
}

func (b *bucket) read(t testing.TB, key string) []byte {
	o, err := b.client.GetObject(t.Context(), b.config.Bucket, bytesOf(key), minio.GetObjectOptions{})
	must(t, err)
	defer o.Close()
	content, err := io.ReadAll(o)
	must(t, err)
	return content
}

func (b *bucket) write(t testing.TB, key string, content []byte) {
	_, err := b.client.PutObject(t.Context(), b.config.Bucket, bytesOf(key), bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
	must(t, err)
}

func (b *bucket) remove(t testing.TB, key string) {
	must(t, b.client.RemoveObject(t.Context(), b.config.Bucket, bytesOf(key), minio.RemoveObjectOptions{}))
}

const interval = 24 * time.Hour

// fixture is a registry that is scrubbed.
type fixture struct {
	t     testing.TB
	place place
	clock *clocktest.Clock
	meta  *metadata.Store
	blobs *blobstore.Store
	scrub *scrub.Scrubber
	url   string
}

const (
	onFiles  = "file and SQLite"
	onBucket = "bucket and PostgreSQL"
)

// backends are the pairs of a database and a place that are tested.
var backends = map[string]func(t testing.TB, change func(*scrub.Config)) *fixture{
	onFiles: func(t testing.TB, change func(*scrub.Config)) *fixture {
		c := clocktest.New()
		meta, err := metadata.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "metadata.sqlite"), metadata.Options{Clock: c.Now})
		must(t, err)
		return newFixture(t, c, meta, directory(t.TempDir()), change)
	},
	onBucket: func(t testing.TB, change func(*scrub.Config)) *fixture {
		c := clocktest.New()
		meta, err := metadata.OpenPostgres(t.Context(), pgtest.Database(t), metadata.Options{Clock: c.Now})
		must(t, err)
		return newFixture(t, c, meta, newBucket(t), change)
	},
}

// onBoth runs a test on every backend.
func onBoth(t *testing.T, test func(t *testing.T, f *fixture)) {
	for name, open := range backends {
		t.Run(name, func(t *testing.T) { test(t, open(t, nil)) })
	}
}

func newFixture(t testing.TB, c *clocktest.Clock, meta *metadata.Store, p place, change func(*scrub.Config)) *fixture {
	t.Helper()
	t.Cleanup(func() { meta.Close() })
	blobs, err := blobstore.New(p.driver(t), meta)
	must(t, err)
	f := &fixture{t: t, place: p, clock: c, meta: meta, blobs: blobs}
	f.scrub = f.scrubber(change)
	server, err := registry.New(registry.Config{Blobs: blobs, Metadata: meta, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	h := httptest.NewServer(server)
	t.Cleanup(h.Close)
	f.url = h.URL
	return f
}

// scrubber returns another scrubber, as another node has one.
func (f *fixture) scrubber(change func(*scrub.Config)) *scrub.Scrubber {
	f.t.Helper()
	c := scrub.WithClock(scrub.Config{
		Metadata: f.meta, Blobs: f.blobs, Interval: interval, Log: slog.New(slog.DiscardHandler),
	}, f.clock.Now, f.clock.Wait)
	if change != nil {
		change(&c)
	}
	s, err := scrub.New(c)
	must(f.t, err)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func random(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(r.Uint32()) >> (i & 4) // half of it compresses
	}
	return b
}

// push pushes a blob with one request, and returns the status.
func (f *fixture) push(content []byte) int {
	f.t.Helper()
	url := f.url + "/v2/a/blobs/uploads/?digest=" + digest.FromBytes(content).String()
	r, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, url, bytes.NewReader(content))
	must(f.t, err)
	resp, err := http.DefaultClient.Do(r)
	must(f.t, err)
	resp.Body.Close()
	return resp.StatusCode
}

func (f *fixture) mustPush(content []byte) digest.Digest {
	f.t.Helper()
	if status := f.push(content); status != http.StatusCreated {
		f.t.Fatalf("a push is answered with %d", status)
	}
	return digest.FromBytes(content)
}

// get asks for a blob. The error is one of a transfer that broke off.
func (f *fixture) get(method string, d digest.Digest) (int, []byte, error) {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), method, f.url+"/v2/a/blobs/"+d.String(), nil)
	must(f.t, err)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// wantServed checks that blobs are served, and their bytes are right.
func (f *fixture) wantServed(blobs ...digest.Digest) {
	f.t.Helper()
	for _, d := range blobs {
		status, body, err := f.get(http.MethodGet, d)
		if status != http.StatusOK || err != nil || digest.FromBytes(body) != d {
			f.t.Errorf("%s: %d, %d bytes of %s, %v", d, status, len(body), digest.FromBytes(body), err)
		}
	}
}

// wantRefused checks that blobs are not served, in a way that pushers understand.
func (f *fixture) wantRefused(blobs ...digest.Digest) {
	f.t.Helper()
	for _, d := range blobs {
		if status, _, _ := f.get(http.MethodHead, d); status != http.StatusNotFound {
			f.t.Errorf("HEAD of %s gives %d", d, status)
		}
		status, body, _ := f.get(http.MethodGet, d)
		if status != http.StatusNotFound || !bytes.Contains(body, []byte("BLOB_UNKNOWN")) || !bytes.Contains(body, []byte("damaged")) {
			f.t.Errorf("GET of %s gives %d: %.200q", d, status, body)
		}
		if bytes.Contains(body, []byte("objects/")) {
			f.t.Errorf("the answer tells where the object is: %s", body)
		}
	}
}

// family are blobs of all kinds, one read from the other.
type family struct {
	bystander, pack, layer, view, disk digest.Digest
	content                            map[digest.Digest][]byte
}

func (m family) all() []digest.Digest {
	return []digest.Digest{m.bystander, m.pack, m.layer, m.view, m.disk}
}

// above returns the blobs that are read from one, it included.
func (m family) above(d digest.Digest) []digest.Digest {
	line := []digest.Digest{m.pack, m.layer, m.view, m.disk}
	for i := range line {
		if line[i] == d {
			return line[i:]
		}
	}
	return []digest.Digest{d}
}

// family commits one: a pack of frames that is kept whole, a layer that is a map
// over it, the layer's content as a view, and a disk that is a map over that.
func (f *fixture) family() family {
	f.t.Helper()
	content := random(400_000, 1)
	var framed bytes.Buffer
	w, err := frame.NewWriter(&framed)
	must(f.t, err)
	_, err = w.Write(content)
	must(f.t, err)
	_, pos, err := w.Close()
	must(f.t, err)
	m := family{content: make(map[digest.Digest][]byte)}
	// A pack has what its layer has, and more.
	m.bystander, m.pack = f.mustPush(random(50_000, 2)), f.mustPush(append(bytes.Clone(framed.Bytes()), "and more"...))
	m.layer = f.derive(f.blobs.SealMap(f.t.Context(), f.mapOf(m.pack, 0, int64(framed.Len())), "", nil))
	m.view = f.derive(f.blobs.SealFrames(f.t.Context(), m.layer, pos, digest.FromBytes(content)))
	m.disk = f.derive(f.blobs.SealMap(f.t.Context(), f.mapOf(m.view, 1000, 300_000), "", nil))
	for _, d := range m.all() {
		status, body, err := f.get(http.MethodGet, d)
		if status != http.StatusOK || err != nil {
			f.t.Fatalf("%s: %d, %v", d, status, err)
		}
		m.content[d] = body
	}
	return m
}

func (f *fixture) mapOf(d digest.Digest, off, n int64) *extent.Map {
	f.t.Helper()
	var b extent.Builder
	b.Source(extent.Digest(d), off, n)
	m, err := b.Build()
	must(f.t, err)
	return m
}

func (f *fixture) derive(r blobstore.Record, err error) digest.Digest {
	f.t.Helper()
	must(f.t, err)
	_, err = f.meta.CommitBlob(f.t.Context(), "a", r, nil)
	must(f.t, err)
	return r.Digest
}

// record returns the record of a blob, in quarantine or not.
func (f *fixture) record(d digest.Digest) blobstore.Record {
	f.t.Helper()
	b, err := f.meta.BlobToScrub(f.t.Context(), d)
	must(f.t, err)
	return b.Record
}

// restart returns the registry with nothing cached of what was read.
func (f *fixture) restart() *fixture {
	f.t.Helper()
	if b, ok := f.place.(*bucket); ok {
		b.config.SpoolDir = f.t.(*testing.T).TempDir()
	}
	return newFixture(f.t, f.clock, f.meta, f.place, nil)
}

// verify lets the interval pass and verifies what is due, which is everything.
func (f *fixture) verify() scrub.Result {
	f.t.Helper()
	f.clock.Pass(interval)
	r, err := f.scrub.Verify(f.t.Context())
	must(f.t, err)
	return r
}

func (f *fixture) repair() scrub.Result {
	f.t.Helper()
	r, err := f.scrub.Repair(f.t.Context())
	must(f.t, err)
	return r
}

// damages are what happens to objects.
var damages = map[string]func(f *fixture, key string){
	"another byte": func(f *fixture, key string) {
		content := f.place.read(f.t, key)
		content[len(content)/2] ^= 1
		f.place.write(f.t, key, content)
	},
	"cut short": func(f *fixture, key string) {
		content := f.place.read(f.t, key)
		f.place.write(f.t, key, content[:len(content)-1])
	},
	"gone": func(f *fixture, key string) { f.place.remove(f.t, key) },
}
