package tarball

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/cloudlets/cloudlets/extent"
)

// Dir is the tar that [FromDir] writes of a directory, before it is written: an
// extent map whose headers are inline and whose content is in the files. A Dir
// opens those files: their paths stand for digests in the map. It must be closed.
type Dir struct {
	Map   *extent.Map
	root  *os.File
	files map[extent.Digest]unix.Stat_t // as they were
}

var _ extent.Opener = (*Dir)(nil)

// OpenDir reads a directory as [FromDir] does, but no content of files.
func OpenDir(ctx context.Context, dir string, warn func(path, what string)) (*Dir, error) {
	root, err := openRoot(dir)
	if err != nil {
		return nil, err
	}
	d := &Dir{root: root, files: make(map[extent.Digest]unix.Stat_t)}
	plan := dirPlan{dir: d}
	err = writeDir(ctx, root, &plan, warn)
	if err == nil {
		d.Map, err = plan.tar.Build()
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return d, nil
}

// dirPlan is a dirSink that makes a map.
type dirPlan struct {
	dir *Dir
	tar extent.Builder
}

func (p *dirPlan) Write(header []byte) (int, error) {
	p.tar.Inline(header)
	return len(header), nil
}

func (p *dirPlan) file(_ *os.File, e *Entry, st *unix.Stat_t) error {
	if len(e.Content) == 0 {
		return nil
	}
	name := extent.Digest(e.Path)
	p.dir.files[name] = *st
	for _, part := range e.Content {
		p.tar.Source(name, part.Start, part.Length)
	}
	return nil
}

// OpenBlob opens a file of the directory by its path. It fails where the file is
// not what it was when the directory was read.
func (d *Dir) OpenBlob(_ context.Context, path extent.Digest) (extent.Blob, error) {
	was, ok := d.files[path]
	if !ok {
		return nil, fmt.Errorf("%q: %w", path, os.ErrNotExist)
	}
	fd, err := unix.Openat2(int(d.root.Fd()), string(path), &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	f := &dirFile{File: os.NewFile(uintptr(fd), string(path)), was: was}
	if err := f.check(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Close closes the directory.
func (d *Dir) Close() error { return d.root.Close() }

// dirFile is an open file that must stay as it was.
type dirFile struct {
	*os.File
	was unix.Stat_t
}

func (f *dirFile) Size() int64 { return f.was.Size }

// ReadAt reads, and looks afterwards whether the file is still what it was.
func (f *dirFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	if err != nil && err != io.EOF {
		return n, err
	}
	if changed := f.check(); changed != nil {
		return 0, changed
	}
	return n, err
}

func (f *dirFile) check() error {
	var now unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &now); err != nil {
		return fmt.Errorf("%q: %w", f.Name(), err)
	}
	if changed(&f.was, &now) {
		return fmt.Errorf("%q: %w", f.Name(), errChanged)
	}
	return nil
}
