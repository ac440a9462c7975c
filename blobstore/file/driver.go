package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/extent"
)

const (
	uploadsDir = "uploads"
	objectsDir = "objects"

	dirMode  = 0o750
	fileMode = 0o640
)

// Driver is a [blobstore.Driver] over a directory.
type Driver struct {
	dir        string
	directFrom int64 // see the constants
	chunk      int64
	chunks     *sync.Pool
}

// New returns a driver that keeps its objects below dir, which is created if
// missing.
func New(dir string) (*Driver, error) {
	for _, name := range []string{uploadsDir, objectsDir} {
		if err := os.MkdirAll(filepath.Join(dir, name), dirMode); err != nil {
			return nil, fmt.Errorf("open blob directory: %w", err)
		}
	}
	if err := syncDir(dir); err != nil {
		return nil, fmt.Errorf("open blob directory: %w", err)
	}
	d := &Driver{dir: dir}
	d.writeAround(directFrom, directChunk)
	return d, nil
}

// writeAround says from which offset on objects are written around the page
// cache, and how many bytes at once: multiples of directAlign.
func (d *Driver) writeAround(from, chunk int64) {
	d.directFrom, d.chunk, d.chunks = from, chunk, newChunks(int(chunk))
}

// Create begins an object.
func (d *Driver) Create(ctx context.Context) (blobstore.ObjectWriter, error) {
	key := uploadsDir + "/" + ulid.Make().String()
	f, err := os.OpenFile(filepath.Join(d.dir, key), os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
	if err != nil {
		return nil, err
	}
	if err := lock(ctx, f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &writer{driver: d, key: key, file: f, placed: true}, nil
}

// Resume goes on writing an object. Any offset up to its length is a point. What
// follows it is given up with the first Write or with Seal. The error wraps
// ErrBusy while another process writes the object.
func (d *Driver) Resume(ctx context.Context, p blobstore.Point) (blobstore.ObjectWriter, error) {
	path, err := d.path(p.Key, uploadsDir)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, fileMode)
	if err != nil {
		return nil, notFound(err)
	}
	if err := check(ctx, f, path, p.Offset); err != nil {
		f.Close()
		return nil, fmt.Errorf("resume object %s at %d: %w", p.Key, p.Offset, err)
	}
	return &writer{driver: d, key: p.Key, file: f, size: p.Offset, flushed: p.Offset, saved: p.Offset}, nil
}

// check locks a file, and makes sure that it is still at its path and has offset
// bytes at least.
func check(ctx context.Context, f *os.File, path string, offset int64) error {
	if err := lock(ctx, f); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	named, err := os.Stat(path)
	if err != nil {
		return notFound(err)
	}
	if !os.SameFile(info, named) {
		return fmt.Errorf("it was written anew: %w", blobstore.ErrNotFound)
	}
	if info.Size() < offset {
		return fmt.Errorf("only %d bytes are left: %w", info.Size(), blobstore.ErrNotFound)
	}
	return nil
}

// How long and how often is tried to get the lock of an object.
const (
	lockTime  = 10 * time.Second
	lockPause = 10 * time.Millisecond
)

// lock keeps others from writing a file, on any node that shares the directory,
// until it is closed (flock(2)). It waits a while for who has the lock.
func lock(ctx context.Context, f *os.File) error {
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("another process writes it: %w", blobstore.ErrBusy)
		case <-time.After(lockPause):
		}
	}
}

// Open opens a sealed object. The result is a [*Object].
func (d *Driver) Open(_ context.Context, key string) (extent.Blob, error) {
	path, err := d.path(key, objectsDir)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, notFound(err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Object{File: f, size: info.Size()}, nil
}

// Object is an open object: a file whose size is known.
type Object struct {
	*os.File
	size int64
}

// Size returns the length of the object in bytes.
func (o *Object) Size() int64 { return o.size }

// Remove removes an object, sealed or not.
func (d *Driver) Remove(_ context.Context, key string) error {
	path, err := d.path(key, uploadsDir, objectsDir)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// path returns the path of a key in one of the given directories. Keys come
// back from an index, so nothing outside is opened even if it is corrupt.
func (d *Driver) path(key string, dirs ...string) (string, error) {
	dir, _, _ := strings.Cut(key, "/")
	for _, want := range dirs {
		if dir == want && filepath.IsLocal(key) && filepath.Clean(key) == key {
			return filepath.Join(d.dir, key), nil
		}
	}
	return "", fmt.Errorf("object key %q: %w in %s", key, blobstore.ErrNotFound, strings.Join(dirs, " and "))
}

// List returns every object.
func (d *Driver) List(ctx context.Context) iter.Seq2[blobstore.Object, error] {
	return func(yield func(blobstore.Object, error) bool) {
		for _, dir := range []string{uploadsDir, objectsDir} {
			if !d.list(ctx, dir, yield) {
				return
			}
		}
	}
}

// list yields the objects below dir and says whether to go on.
func (d *Driver) list(ctx context.Context, dir string, yield func(blobstore.Object, error) bool) bool {
	err := filepath.WalkDir(filepath.Join(d.dir, dir), func(path string, e fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(d.dir, path)
		if err != nil {
			return err
		}
		o := blobstore.Object{Key: filepath.ToSlash(rel), Size: info.Size()}
		if dir == objectsDir {
			if o.Label, o.Sealed = parseName(e.Name()); !o.Sealed {
				return nil // not a name of ours
			}
		}
		if !yield(o, nil) {
			return fs.SkipAll
		}
		return nil
	})
	if err != nil {
		return yield(blobstore.Object{}, fmt.Errorf("list objects: %w", err))
	}
	return true
}

// objectName is the inverse of parseName.
func objectName(id string, l blobstore.Label) string {
	return fmt.Sprintf("%s.%s.%s-%s", id, l.Kind, l.Digest.Algorithm(), l.Digest.Encoded())
}

// parseName reads the label off the name of a sealed object.
func parseName(name string) (blobstore.Label, bool) {
	parts := strings.Split(name, ".")
	if len(parts) != 3 {
		return blobstore.Label{}, false
	}
	algorithm, encoded, _ := strings.Cut(parts[2], "-")
	d := digest.NewDigestFromEncoded(digest.Algorithm(algorithm), encoded)
	if d.Validate() != nil {
		return blobstore.Label{}, false
	}
	return blobstore.Label{Digest: d, Kind: blobstore.Kind(parts[1])}, true
}

func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", blobstore.ErrNotFound, err)
	}
	return err
}
