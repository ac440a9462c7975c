package registry_test

import (
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/file"
	"github.com/cloudlets/cloudlets/registry"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// fixture is a registry on a directory, listening on the loopback interface.
type fixture struct {
	dir    string
	url    string // "http://127.0.0.1:port"
	host   string // "127.0.0.1:port"
	server *registry.Server
	meta   *metadata.Store
	blobs  *blobstore.Store
}

// start starts a registry on an empty directory. change may be nil.
func start(t testing.TB, change func(*registry.Config)) *fixture {
	t.Helper()
	return startIn(t, t.TempDir(), metadata.Options{}, change)
}

func startIn(t testing.TB, dir string, o metadata.Options, change func(*registry.Config)) *fixture {
	t.Helper()
	meta, err := metadata.OpenSQLite(t.Context(), filepath.Join(dir, "registry.db"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { meta.Close() })
	driver, err := file.New(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blobstore.New(driver, meta)
	if err != nil {
		t.Fatal(err)
	}
	c := registry.Config{Blobs: blobs, Metadata: meta, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&c)
	}
	s, err := registry.New(c)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return &fixture{dir: dir, url: h.URL, host: h.Listener.Addr().String(), server: s, meta: meta, blobs: blobs}
}
