package registry_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore/s3"
	"github.com/cloudlets/cloudlets/registry"
)

// logText is a log that tests read.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// redirecting starts a registry that sends clients to its bucket, under another
// name than it uses itself, for blobs of minSize bytes or more.
func redirecting(t *testing.T, minSize int64, change func(*registry.Config)) (f *fixture, b *bucket, public string, log *logText) {
	t.Helper()
	b, log = newBucket(t, nil), new(logText)
	public = strings.Replace(b.proxy.URL, "127.0.0.1", "localhost", 1)
	f = b.nodeWith(t, func(c *registry.Config, d *s3.Driver) {
		redirects, err := d.Redirects(t.Context(), s3.RedirectConfig{Endpoint: public, MinSize: minSize})
		if err != nil {
			t.Fatal(err)
		}
		c.Redirect = redirects
		c.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		if change != nil {
			change(c)
		}
	})
	return f, b, public, log
}

func TestBlobIsFetchedFromTheBucket(t *testing.T) {
	f, b, public, log := redirecting(t, 1<<20, nil)
	content := blob(2 << 20)
	d := pushBlob(t, f.url, "a", content)
	path := "/v2/a/blobs/" + string(d)
	r := do(t, f.url, "GET", path, nil).want(t, 307).wantHeader(t, "Docker-Content-Digest", string(d)).wantHeader(t, "Cache-Control", "no-store")
	if !strings.HasPrefix(r.location(), public+"/") || len(r.body) != 0 {
		t.Fatalf("redirected to %q with %d bytes", r.location(), len(r.body))
	}
	// What was signed is GET, of any range; nothing else.
	do(t, f.url, "GET", r.location(), nil).want(t, 200).wantHeader(t, "Content-Type", "application/octet-stream")
	do(t, f.url, "HEAD", r.location(), nil).want(t, 403)
	do(t, f.url, "DELETE", r.location(), nil).want(t, 403)
	b.proxy.Take()
	for _, c := range []struct {
		value       string
		status      int
		first, last int
	}{{"", 200, 0, len(content) - 1}, {"bytes=5-99", 206, 5, 99}, {"bytes=-7", 206, len(content) - 7, len(content) - 1}} {
		got := follow(t, f.url+path, c.value)
		if got.status != c.status || !bytes.Equal(got.body, content[c.first:c.last+1]) {
			t.Errorf("the range %q is answered %d with %d bytes", c.value, got.status, len(got.body))
		}
	}
	if n := b.proxy.Take().Requests["GetObject"]; n != 3 {
		t.Errorf("the bucket was asked %d times, want 3", n)
	}
	if strings.Contains(log.String(), "X-Amz") {
		t.Errorf("the log tells a signed URL:\n%s", log)
	}
}

// follow gets a URL as a client does, with a range where that is not empty.
func follow(t *testing.T, url, byteRange string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if byteRange != "" {
		r.Header.Set("Range", byteRange)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, body.Bytes()}
}

func TestWhatIsNotRedirected(t *testing.T) {
	f, b, _, _ := redirecting(t, 1000, nil)
	content := blob(1000)
	d := pushBlob(t, f.url, "a", content)
	small := pushBlob(t, f.url, "a", []byte("small"))
	path := "/v2/a/blobs/" + string(d)
	do(t, f.url, "GET", path, nil).want(t, 307)
	b.proxy.Take()
	do(t, f.url, "HEAD", path, nil).want(t, 200).wantHeader(t, "Docker-Content-Digest", string(d)).wantHeader(t, "Content-Length", "1000")
	do(t, f.url, "GET", path, nil, header("If-None-Match", `"`+string(d)+`"`)).want(t, 304)
	do(t, f.url, "GET", path, nil, header("Range", "bytes=1000-")).want(t, 416).wantHeader(t, "Content-Range", "bytes */1000")
	if n := b.proxy.Take().Requests; len(n) != 0 {
		t.Errorf("the bucket was asked for %v", n)
	}
	do(t, f.url, "GET", path, nil, header("Range", "bytes=0-1,5-6")).want(t, 200)
	do(t, f.url, "GET", path, nil, header("Range", "bytes=0-1"), header("If-Range", `"x"`)).want(t, 200)
	do(t, f.url, "GET", "/v2/a/blobs/"+string(small), nil).want(t, 200)
	do(t, f.url, "GET", "/v2/a/blobs/"+string(digest.FromString("none")), nil).wantError(t, 404, "BLOB_UNKNOWN")
}

// closed lets nobody read.
type closed struct{}

func (closed) Authorize(_ *http.Request, needs ...registry.Need) (registry.Principal, error) {
	for _, need := range needs {
		if need.Action == registry.ActionPull {
			return nil, &registry.Error{Status: http.StatusForbidden, Code: registry.CodeDenied, Message: "no"}
		}
	}
	return writer{}, nil
}

func TestWhoMayNotPullIsNotRedirected(t *testing.T) {
	f, _, _, _ := redirecting(t, 0, func(c *registry.Config) { c.Access = closed{} })
	d := pushBlob(t, f.url, "a", blob(1000))
	r := do(t, f.url, "GET", "/v2/a/blobs/"+string(d), nil)
	r.wantError(t, 403, "DENIED")
	r.wantHeader(t, "Location", "")
}

func TestClientsPullThroughRedirects(t *testing.T) {
	f, b, _, _ := redirecting(t, 0, nil)
	img := newImage(t, "redirected")
	pushImage(t, f.url, "golden/debian", "12", img)
	image := f.host + "/golden/debian:12"
	crane := filepath.Join("..", ".cache", "bin", "crane")
	for name, pull := range map[string]func(){
		"skopeo": func() { skopeo(t, "copy", "--src-tls-verify=false", "docker://"+image, "dir:"+t.TempDir()) },
		"crane": func() {
			tool(t, "make tools", crane, "--insecure", "validate", "--remote", image)
		},
		"curl": func() {
			for d, content := range img.blobs {
				got := tool(t, "curl", "curl", "-sSfL", fmt.Sprintf("%s/v2/golden/debian/blobs/%s", f.url, d))
				if !bytes.Equal(got, content) {
					t.Errorf("curl got %d bytes, want %d", len(got), len(content))
				}
			}
		},
	} {
		b.proxy.Take()
		pull()
		if n := b.proxy.Take().Requests["GetObject"]; n < len(img.blobs) {
			t.Errorf("%s: the bucket was asked %d times, want %d", name, n, len(img.blobs))
		}
	}
}
