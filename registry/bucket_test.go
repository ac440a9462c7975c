package registry_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/s3"
	"github.com/cloudlets/cloudlets/blobstore/s3/s3test"
	"github.com/cloudlets/cloudlets/registry"
	"github.com/cloudlets/cloudlets/registry/gc"
	"github.com/cloudlets/cloudlets/registry/metadata"
	"github.com/cloudlets/cloudlets/registry/metadata/pgtest"
)

// bucket is what several nodes share: a database and a bucket.
type bucket struct {
	database string
	config   s3.Config
	proxy    *s3test.Proxy
}

func newBucket(t *testing.T, change func(*s3.Config)) *bucket {
	t.Helper()
	name, proxy := s3test.Bucket(t)
	c := s3.Config{
		Endpoint: proxy.URL, Bucket: name, Region: s3test.Region, PartSize: 8 << 20, SpoolDir: t.TempDir(),
		Credentials: credentials.NewStaticV4(s3test.AccessKey, s3test.SecretKey, ""),
		Log:         slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&c)
	}
	return &bucket{database: pgtest.Database(t), config: c, proxy: proxy}
}

// node starts a registry on the bucket.
func (b *bucket) node(t *testing.T) *fixture {
	t.Helper()
	return b.nodeWith(t, func(*registry.Config, *s3.Driver) {})
}

// nodeWith is node with another configuration.
func (b *bucket) nodeWith(t *testing.T, change func(*registry.Config, *s3.Driver)) *fixture {
	t.Helper()
	meta, err := metadata.OpenPostgres(t.Context(), b.database, metadata.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { meta.Close() })
	driver, err := s3.New(t.Context(), b.config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { driver.Close() })
	blobs, err := blobstore.New(driver, meta)
	if err != nil {
		t.Fatal(err)
	}
	c := registry.Config{Blobs: blobs, Metadata: meta, Log: slog.New(slog.DiscardHandler)}
	change(&c, driver)
	server, err := registry.New(c)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(server)
	t.Cleanup(h.Close)
	b.proxy.Take()
	return &fixture{url: h.URL, host: h.Listener.Addr().String(), server: server, meta: meta, blobs: blobs}
}

// blob returns bytes that differ with n.
func blob(n int) []byte { return bytes.Repeat([]byte(fmt.Sprintf("%07d ", n)), n/8+1)[:n] }

func TestUploadGoesOnOnAnotherNode(t *testing.T) {
	b := newBucket(t, nil)
	nodes := []*fixture{b.node(t), b.node(t)}
	content := blob(17 << 20)
	at := begin(t, nodes[0].url, "a", "")
	for i, off := 0, 0; off < len(content); i++ { // chunks that make a part, and chunks that do not
		end := min(off+[]int{7 << 20, 1 << 20, 3<<20 + 5}[i%3], len(content))
		do(t, nodes[i%2].url, "PATCH", at, content[off:end], header("Content-Range", fmt.Sprintf("%d-%d", off, end-1))).
			want(t, 202).wantHeader(t, "Range", fmt.Sprintf("0-%d", end-1))
		off = end
	}
	d := digest.FromBytes(content)
	do(t, nodes[1].url, "PUT", withDigest(at, d), nil).want(t, 201)
	for _, node := range nodes {
		wantBlob(t, node.url, "/v2/a/blobs/"+string(d), content, d)
	}
	wantObjects(t, nodes[0], 1)
}

// wantObjects checks how many objects there are, and that all are sealed.
func wantObjects(t *testing.T, node *fixture, want int) {
	t.Helper()
	n := 0
	for o, err := range node.blobs.Driver().List(t.Context()) {
		if err != nil || !o.Sealed {
			t.Errorf("listed %+v, %v", o, err)
		}
		n++
	}
	if n != want {
		t.Errorf("%d objects, want %d", n, want)
	}
}

func TestPushMovesItsBytesOnce(t *testing.T) {
	b := newBucket(t, nil)
	node := b.node(t)
	for way, push := range map[string]func(content []byte, d digest.Digest){
		"POST": func(content []byte, d digest.Digest) {
			do(t, node.url, "POST", withDigest("/v2/a/blobs/uploads/", d), content).want(t, 201)
		},
		"PUT": func(content []byte, d digest.Digest) {
			do(t, node.url, "PUT", withDigest(begin(t, node.url, "a", ""), d), content).want(t, 201)
		},
		"PATCH": func(content []byte, d digest.Digest) {
			at := begin(t, node.url, "a", "")
			do(t, node.url, "PATCH", at, content).want(t, 202)
			do(t, node.url, "PUT", withDigest(at, d), nil).want(t, 201)
		},
	} {
		size := 20 << 20
		if way == "PATCH" {
			size = 70 << 20 // beyond a save within the request
		}
		content := append([]byte(way), blob(size)...)
		d := digest.FromBytes(content)
		b.proxy.Take()
		push(content, d)
		counts := b.proxy.Take()
		if beyond := counts.In + counts.Out - int64(len(content)); beyond > int64(len(content))/100 {
			t.Errorf("%s: %d bytes beyond the blob's own, in %v", way, beyond, counts.Requests)
		}
		for _, request := range []string{"GetObject", "HeadObject"} {
			if n := counts.Requests[request]; n > 0 {
				t.Errorf("%s: %d times %s: nothing has to be read", way, n, request)
			}
		}
	}
}

func TestCancelledUploadsLeaveNothingInTheBucket(t *testing.T) {
	b := newBucket(t, nil)
	node := b.node(t)
	for _, n := range []int{1000, 6 << 20, 20 << 20} {
		at := begin(t, node.url, "a", "")
		do(t, node.url, "PATCH", at, blob(n)).want(t, 202)
		do(t, node.url, "DELETE", at, nil).want(t, 204)
		at = begin(t, node.url, "a", "")
		do(t, node.url, "PUT", withDigest(at, digest.FromString("a lie")), blob(n)).wantError(t, 400, "DIGEST_INVALID")
	}
	wantObjects(t, node, 0)
}

// TestFailingStoreIsNoEnd pushes through a store that fails for a while: nothing
// that was acknowledged is lost, and what was not can be done again.
func TestFailingStoreIsNoEnd(t *testing.T) {
	b := newBucket(t, func(c *s3.Config) { c.Attempts = 2 })
	node := b.node(t)
	content := blob(20 << 20)
	at := begin(t, node.url, "a", "")
	do(t, node.url, "PATCH", at, content[:10<<20]).want(t, 202)
	b.proxy.Fail(func(*http.Request) s3test.Fault { return s3test.Busy })
	r := do(t, node.url, "PATCH", at, content[10<<20:])
	r.wantError(t, 503, "UNAVAILABLE")
	r.wantHeader(t, "Retry-After", "5")
	b.proxy.Fail(nil)
	do(t, node.url, "GET", at, nil).want(t, 204).wantHeader(t, "Range", fmt.Sprintf("0-%d", 10<<20-1))
	do(t, node.url, "PATCH", at, content[10<<20:]).want(t, 202)
	d := digest.FromBytes(content)
	do(t, node.url, "PUT", withDigest(at, d), nil).want(t, 201)
	wantBlob(t, node.url, "/v2/a/blobs/"+string(d), content, d)
}

// TestConcurrentPushesThroughFaults lets every seventh request to the store fail
// in one of four ways.
func TestConcurrentPushesThroughFaults(t *testing.T) {
	b := newBucket(t, nil)
	nodes := []*fixture{b.node(t), b.node(t)}
	var asked atomic.Int64
	b.proxy.Fail(func(*http.Request) s3test.Fault {
		if n := asked.Add(1); n%7 == 0 {
			return s3test.Fault(1 + n/7%4)
		}
		return s3test.None
	})
	var pushes sync.WaitGroup
	for i := range 8 {
		pushes.Go(func() {
			content := blob(100_000 << (i % 4 * 2))
			content = append(content, byte(i))
			d := digest.FromBytes(content)
			at := begin(t, nodes[i%2].url, "a", "")
			do(t, nodes[i/2%2].url, "PATCH", at, content[:len(content)/2]).want(t, 202)
			do(t, nodes[i%2].url, "PUT", withDigest(at, d), content[len(content)/2:]).want(t, 201)
			wantBlob(t, nodes[(i+1)%2].url, "/v2/a/blobs/"+string(d), content, d)
		})
	}
	pushes.Wait()
	b.proxy.Fail(nil)
	found, err := gc.Check(t.Context(), nodes[0].meta, nodes[0].blobs, gc.CheckOptions{})
	if err != nil || !found.Sound() {
		t.Errorf("found %+v, %v", found, err)
	}
}

func TestLostMultipartUploadIsToldOf(t *testing.T) {
	b := newBucket(t, nil)
	node := b.node(t)
	content := blob(9 << 20)
	at := begin(t, node.url, "a", "")
	do(t, node.url, "PATCH", at, content).want(t, 202)
	for o, err := range node.blobs.Driver().List(t.Context()) { // as the bucket's rules may do
		if err != nil || !strings.HasPrefix(o.Key, "uploads/") {
			t.Fatalf("listed %+v, %v", o, err)
		}
		if err := node.blobs.Remove(t.Context(), o.Key); err != nil {
			t.Fatal(err)
		}
	}
	do(t, node.url, "PUT", withDigest(at, digest.FromBytes(content)), nil).wantError(t, 404, "BLOB_UPLOAD_UNKNOWN")
	do(t, node.url, "GET", at, nil).want(t, 404)
}
