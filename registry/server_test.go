package registry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/file"
	"github.com/cloudlets/cloudlets/registry"
	"github.com/cloudlets/cloudlets/registry/gc"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

func TestExtensionServesItsPaths(t *testing.T) {
	f := start(t, func(c *registry.Config) {
		c.Extensions = map[string]registry.ExtensionHandler{
			"echo": func(w http.ResponseWriter, r *http.Request, name, rest string) error {
				if rest == "fail" {
					return &registry.Error{Status: 418, Code: "TEAPOT", Message: "short and stout"}
				}
				_, err := fmt.Fprintf(w, "%s %s %s", r.Method, name, rest)
				return err
			},
		}
	})
	for path, want := range map[string]string{
		"/v2/a/b/_cloudlets/echo/x/blobs/uploads/": "POST a/b x/blobs/uploads/",
		"/v2/a/_cloudlets/echo/":                   "POST a ",
		"/v2/a/_cloudlets/echo":                    "POST a ",
	} {
		if r := do(t, f.url, "POST", path, nil).want(t, 200); string(r.body) != want {
			t.Errorf("%s: got %q, want %q", path, r.body, want)
		}
	}
	do(t, f.url, "GET", "/v2/a/_cloudlets/echo/fail", nil).wantError(t, 418, "TEAPOT")
	do(t, f.url, "GET", "/v2/A/_cloudlets/echo/x", nil).wantError(t, 400, "NAME_INVALID")
	do(t, f.url, "GET", "/v2/_cloudlets/echo/x", nil).want(t, 404)
}

func TestOnManifestIsToldOfEveryPush(t *testing.T) {
	var mu sync.Mutex
	var told []string
	f := start(t, func(c *registry.Config) {
		c.OnManifest = func(_ context.Context, name string, d digest.Digest) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, name+"@"+string(d))
		}
	})
	img := newImage(t, "x")
	pushImage(t, f.url, "a", "v1", img)
	pushManifest(t, f.url, "a", "v2", ociManifest, []byte("{}")).want(t, 400)
	if len(told) != 1 || told[0] != "a@"+string(img.digest) {
		t.Errorf("got %q", told)
	}
}

func TestPutManifestIsAPush(t *testing.T) {
	f := start(t, nil)
	pushBlob(t, f.url, "a", []byte("{}"))
	raw := manifestJSON(ociManifest, "")
	ctx := registry.WithActor(t.Context(), "renderer")
	m, err := f.server.PutManifest(ctx, "a", "v1", ociManifest, raw, "v2")
	if err != nil {
		t.Fatal(err)
	}
	wantManifest(t, f.url, "/v2/a/manifests/v2", ociManifest, raw, m.Digest)
	history, err := f.meta.TagHistory(t.Context(), "a", "v1", 0, 1)
	if err != nil || len(history) != 1 || history[0].Actor != "renderer" {
		t.Errorf("the history is %+v, %v", history, err)
	}
	var answer *registry.Error
	if _, err := f.server.PutManifest(ctx, "A", "v1", ociManifest, raw); !errors.As(err, &answer) || answer.Code != registry.CodeNameInvalid {
		t.Errorf("got the error %v", err)
	}
}

func TestCollectorRemovesWhatExpired(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	f := startIn(t, t.TempDir(), metadata.Options{Clock: func() time.Time { return now }, Lease: 10 * metadata.DefaultUpload}, nil)
	collector, err := gc.New(gc.Config{Metadata: f.meta, Objects: f.blobs.Driver()})
	if err != nil {
		t.Fatal(err)
	}
	content := []byte("content")
	for i := range 150 { // more than one batch
		at := begin(t, f.url, "a", "")
		if i%2 == 0 {
			do(t, f.url, "PATCH", at, content).want(t, 202)
		}
	}
	kept := pushBlob(t, f.url, "a", content)
	pushBlob(t, f.url, "a", content) // the second object goes
	if _, err := collector.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := objects(t, f.dir); got != 151 {
		t.Errorf("there are %d objects, want 150 uploads and a blob", got)
	}
	now = now.Add(metadata.DefaultUpload)
	if _, err := collector.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := objects(t, f.dir); got != 1 {
		t.Errorf("there are %d objects left, want the blob", got)
	}
	wantBlob(t, f.url, "/v2/a/blobs/"+string(kept), content, kept)
	if due, err := f.meta.DueTrash(t.Context(), 10); err != nil || len(due) != 0 {
		t.Errorf("the trash still has %q, %v", due, err)
	}
}

// objects counts the files of the blob store.
func objects(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(filepath.Join(dir, "blobs"), func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// fullDriver is a driver on a disk that has room for so many bytes.
type fullDriver struct {
	*file.Driver
	room int
}

func (d *fullDriver) Create(ctx context.Context) (blobstore.ObjectWriter, error) {
	w, err := d.Driver.Create(ctx)
	return &fullWriter{w, d}, err
}

func (d *fullDriver) Resume(ctx context.Context, p blobstore.Point) (blobstore.ObjectWriter, error) {
	w, err := d.Driver.Resume(ctx, p)
	return &fullWriter{w, d}, err
}

type fullWriter struct {
	blobstore.ObjectWriter
	driver *fullDriver
}

func (w *fullWriter) Write(p []byte) (int, error) {
	if len(p) > w.driver.room {
		return 0, fmt.Errorf("write object: %w", syscall.ENOSPC)
	}
	w.driver.room -= len(p)
	return w.ObjectWriter.Write(p)
}

func TestFullDiskLeavesNothingBehind(t *testing.T) {
	var disk *fullDriver
	dir := t.TempDir()
	f := startIn(t, dir, metadata.Options{}, func(c *registry.Config) {
		disk = &fullDriver{Driver: c.Blobs.Driver().(*file.Driver), room: 1 << 30}
		blobs, err := blobstore.New(disk, c.Metadata)
		if err != nil {
			t.Fatal(err)
		}
		c.Blobs = blobs
	})
	push := map[string]func([]byte) reply{
		"post": func(content []byte) reply {
			return do(t, f.url, "POST", withDigest("/v2/a/blobs/uploads/", digest.FromBytes(content)), content)
		},
		"patch": func(content []byte) reply {
			return do(t, f.url, "PATCH", begin(t, f.url, "a", ""), content)
		},
		"put": func(content []byte) reply {
			return do(t, f.url, "PUT", withDigest(begin(t, f.url, "a", ""), digest.FromBytes(content)), content)
		},
	}
	for way, push := range push {
		t.Run(way, func(t *testing.T) {
			content := append([]byte(way), make([]byte, 1<<20)...)
			before := objects(t, dir)
			disk.room = len(content) / 2
			push(content).wantError(t, 507, "UNAVAILABLE")
			if n := objects(t, dir) - before; n != 0 {
				t.Errorf("%d objects are left", n)
			}
			disk.room = len(content)
			if r := push(content); r.status != 201 && r.status != 202 {
				t.Errorf("with room again: got status %d: %s", r.status, r.body)
			}
		})
	}
}

func TestIdleUploadIsCutOffAndKept(t *testing.T) {
	f := start(t, func(c *registry.Config) { c.IdleTimeout = 200 * time.Millisecond })
	at := begin(t, f.url, "a", "")
	body, w := io.Pipe()
	defer w.Close()
	go w.Write([]byte("and then nothing"))
	r, err := http.NewRequestWithContext(t.Context(), "PATCH", f.url+at, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		defer resp.Body.Close()
		if resp.StatusCode != 400 {
			t.Errorf("got status %d", resp.StatusCode)
		}
	}
	do(t, f.url, "PATCH", at, nil).want(t, 202).wantHeader(t, "Range", "0-15")
}

func TestSlowUploadIsNotCutOff(t *testing.T) {
	f := start(t, func(c *registry.Config) { c.IdleTimeout = 500 * time.Millisecond })
	at := begin(t, f.url, "a", "")
	body, w := io.Pipe()
	go func() {
		for range 10 {
			time.Sleep(100 * time.Millisecond)
			w.Write([]byte("0123456789"))
		}
		w.Close()
	}()
	r, err := http.NewRequestWithContext(t.Context(), "PATCH", f.url+at, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 202 || resp.Header.Get("Range") != "0-99" {
		t.Errorf("got status %d, Range %s", resp.StatusCode, resp.Header.Get("Range"))
	}
}
