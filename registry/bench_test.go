package registry_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/opencontainers/go-digest"
)

// discard is a ResponseWriter that keeps nothing.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

func benchmarkHandler(b *testing.B, f *fixture, method, path string) {
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := httptest.NewRequest(method, path, nil)
		for pb.Next() {
			f.server.ServeHTTP(&discard{http.Header{}}, r)
		}
	})
}

func BenchmarkManifestByTag(b *testing.B) {
	f := start(b, nil)
	pushImage(b, f.url, "golden/debian", "12", newImage(b, "x"))
	benchmarkHandler(b, f, "GET", "/v2/golden/debian/manifests/12")
}

func BenchmarkManifestByDigest(b *testing.B) {
	f := start(b, nil)
	img := newImage(b, "x")
	pushImage(b, f.url, "golden/debian", "12", img)
	benchmarkHandler(b, f, "GET", "/v2/golden/debian/manifests/"+string(img.digest))
}

func BenchmarkBlobHead(b *testing.B) {
	f := start(b, nil)
	d := pushBlob(b, f.url, "golden/debian", []byte("content"))
	benchmarkHandler(b, f, "HEAD", "/v2/golden/debian/blobs/"+string(d))
}

func BenchmarkSmallBlobGet(b *testing.B) {
	f := start(b, nil)
	d := pushBlob(b, f.url, "golden/debian", bytes.Repeat([]byte("x"), 1000))
	benchmarkHandler(b, f, "GET", "/v2/golden/debian/blobs/"+string(d))
}

func BenchmarkBlobOverLoopback(b *testing.B) {
	f := start(b, nil)
	content := make([]byte, 256<<20)
	d := digest.FromBytes(content)
	b.Run("push", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		for b.Loop() {
			do(b, f.url, "POST", withDigest("/v2/a/blobs/uploads/", d), content).want(b, 201)
		}
	})
	b.Run("pull", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		for b.Loop() {
			resp, err := http.Get(f.url + "/v2/a/blobs/" + string(d))
			if err != nil {
				b.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != int64(len(content)) {
				b.Fatal(n, err)
			}
			resp.Body.Close()
		}
	})
}
