package file_test

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/blobtest"
	"github.com/cloudlets/cloudlets/blobstore/file"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDriver(t *testing.T) {
	blobtest.TestDriver(t, func(t *testing.T) blobtest.Open {
		dir := t.TempDir()
		return func(t *testing.T) blobstore.Driver {
			t.Helper()
			d, err := file.New(dir)
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
	})
}

func TestOpenReturnsAFile(t *testing.T) {
	d, err := file.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w, err := d.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	key, err := w.Seal(t.Context(), blobstore.Label{Digest: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", Kind: blobstore.Whole})
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if o, ok := b.(*file.Object); !ok || o.File == nil {
		t.Errorf("opened a %T: sendfile(2) needs the file", b)
	}
}

func TestStrangeFilesAreNotListed(t *testing.T) {
	dir := t.TempDir()
	d, err := file.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"README", "x.whole.sha256-00", "lost+found"} {
		if err := os.WriteFile(filepath.Join(dir, "objects", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for o, err := range d.List(t.Context()) {
		t.Errorf("listed %+v, %v", o, err)
	}
}
