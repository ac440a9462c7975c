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

// writer writes one object: through the page cache at first, and around it once
// the object is long.
type writer struct {
	driver  *Driver
	key     string
	file    *os.File // nil once closed
	size    int64
	flushed int64 // how much write-back was requested for
	saved   int64 // the last point that was returned
	placed  bool  // the file ends at size, and what is written goes there

	around *direct // nil while the object is short
	cached bool    // the file system cannot do without its cache
	err    error   // why nothing can be written any more
}

func (w *writer) Key() string { return w.key }

// Expect accepts any size: what is too large is for the disk to say.
func (w *writer) Expect(int64, bool) error { return nil }

// Save keeps what was written. It makes nothing durable: after a power cut
// Resume finds out what is left.
func (w *writer) Save(context.Context) (blobstore.Point, error) {
	if err := w.complete(); err != nil {
		return blobstore.Point{}, err
	}
	return w.Saved(), nil
}

// complete puts in the file all that was written.
func (w *writer) complete() error {
	if w.err == nil && w.around != nil {
		w.err = w.around.flush()
	}
	if w.err == nil {
		w.saved = w.size
	}
	return w.err
}

func (w *writer) Saved() blobstore.Point {
	stored := w.size
	if w.around != nil {
		stored = w.around.stored()
	}
	w.saved = max(w.saved, stored/w.driver.chunk*w.driver.chunk)
	return blobstore.Point{Key: w.key, Offset: w.saved}
}

// Boundary returns the end of the chunk, of which every one is a point, however
// it is written.
func (w *writer) Boundary() int64 { return (w.size/w.driver.chunk + 1) * w.driver.chunk }

func (w *writer) Write(p []byte) (written int, err error) {
	w.err = errors.Join(w.err, w.place())
	for len(p) > 0 && w.err == nil {
		var n int
		n, w.err = w.write(p)
		w.size += int64(n)
		written += n
		p = p[n:]
	}
	return written, w.err
}

// write writes some of p, one way or the other.
func (w *writer) write(p []byte) (int, error) {
	if w.around == nil && !w.cached && w.size >= w.driver.directFrom && w.size%w.driver.chunk == 0 {
		var err error
		w.around, err = openDirect(w.file, w.driver.chunks, w.size)
		w.cached = err != nil // EINVAL where there is no such way; what else is wrong shows below
	}
	if w.around != nil {
		return w.around.Write(p)
	}
	n, err := w.file.WriteAt(p[:min(int64(len(p)), w.Boundary()-w.size)], w.size)
	if end := w.size + int64(n); end-w.flushed >= flushEvery {
		w.flush(end)
	}
	return n, err
}

// place cuts the file where writing goes on.
func (w *writer) place() error {
	if w.placed {
		return nil
	}
	err := w.file.Truncate(w.size)
	w.placed = err == nil
	return err
}

// flush asks the kernel to begin write-back. It is a hint: what matters is the
// fsync of Seal, so an error here means nothing.
func (w *writer) flush(end int64) {
	_ = unix.SyncFileRange(int(w.file.Fd()), w.flushed, end-w.flushed, unix.SYNC_FILE_RANGE_WRITE)
	w.flushed = end
}

// Seal makes the object durable and gives it its final name.
func (w *writer) Seal(_ context.Context, label blobstore.Label) (key string, err error) {
	defer func() { err = errors.Join(err, w.Close()) }()
	if err := label.Digest.Validate(); err != nil {
		return "", fmt.Errorf("seal object %s: %w", w.key, err)
	}
	if err := errors.Join(w.place(), w.complete()); err != nil {
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
	var err error
	if w.around != nil {
		err = w.around.Close()
		w.around = nil
	}
	err = errors.Join(err, w.file.Close())
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
