package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/oklog/ulid/v2"
	"golang.org/x/sys/unix"

	"github.com/cloudlets/cloudlets/blobstore"
)

// flushEvery is how many bytes are written between two requests to the kernel
// to begin writing them back, so that the fsync of a seal finds little left.
const flushEvery = 8 << 20

// writer writes one object.
type writer struct {
	driver  *Driver
	key     string
	file    *os.File // nil once closed
	size    int64
	flushed int64 // how much write-back was requested for
}

func (w *writer) Key() string { return w.key }

// Expect accepts any size: what is too large is for the disk to say.
func (w *writer) Expect(int64, bool) error { return nil }

// Save keeps what was written. It makes nothing durable: after a power cut
// Resume finds out what is left.
func (w *writer) Save(context.Context) (blobstore.Point, error) { return w.Saved(), nil }

func (w *writer) Saved() blobstore.Point { return blobstore.Point{Key: w.key, Offset: w.size} }

// Boundary returns the size: any offset is a point.
func (w *writer) Boundary() int64 { return w.size }

func (w *writer) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.size += int64(n)
	if w.size-w.flushed >= flushEvery {
		w.flush()
	}
	return n, err
}

// flush asks the kernel to begin write-back. It is a hint: what matters is the
// fsync of Seal, so an error here means nothing.
func (w *writer) flush() {
	_ = unix.SyncFileRange(int(w.file.Fd()), w.flushed, w.size-w.flushed, unix.SYNC_FILE_RANGE_WRITE)
	w.flushed = w.size
}

// Seal makes the object durable and gives it its final name.
func (w *writer) Seal(_ context.Context, label blobstore.Label) (key string, err error) {
	defer func() { err = errors.Join(err, w.Close()) }()
	if err := label.Digest.Validate(); err != nil {
		return "", fmt.Errorf("seal object %s: %w", w.key, err)
	}
	if err := w.file.Sync(); err != nil {
		return "", fmt.Errorf("seal object %s: %w", w.key, err)
	}
	_, id, _ := strings.Cut(w.key, "/")
	day, err := w.driver.dayDir(id)
	if err != nil {
		return "", fmt.Errorf("seal object %s: %w", w.key, err)
	}
	key = day + "/" + objectName(id, label)
	if err := os.Rename(filepath.Join(w.driver.dir, w.key), filepath.Join(w.driver.dir, key)); err != nil {
		return "", fmt.Errorf("seal object %s: %w", w.key, err)
	}
	if err := syncDir(filepath.Join(w.driver.dir, day)); err != nil {
		return "", fmt.Errorf("seal object %s: %w", w.key, err)
	}
	return key, nil
}

// dayDir makes the directory for objects begun on the day that id tells, and
// returns its key. Dates bound how much a search for orphans has to look at.
func (d *Driver) dayDir(id string) (string, error) {
	u, err := ulid.ParseStrict(id)
	if err != nil {
		return "", err
	}
	day := objectsDir + "/" + ulid.Time(u.Time()).UTC().Format("20060102")
	err = os.Mkdir(filepath.Join(d.dir, day), dirMode)
	if errors.Is(err, fs.ErrExist) {
		return day, nil
	}
	if err != nil {
		return "", err
	}
	return day, syncDir(filepath.Join(d.dir, objectsDir))
}

// Close ends writing.
func (w *writer) Close() error {
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
