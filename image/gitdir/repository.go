package gitdir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/diff"
	"github.com/cloudlets/cloudlets/image/tarball"
	"github.com/cloudlets/cloudlets/image/workdir"
)

// Where a repository keeps what it knows of its directory.
const (
	wantedFile = tarball.GitState + "/wanted" // the metadata file, as it was left
	seenFile   = tarball.GitState + "/seen"   // what the directory was then; absent if the same
	lockFile   = tarball.GitState + "/lock"
)

// repository is a directory that git is run on.
type repository struct {
	dir  string // absolute
	root *os.Root
	git  gitCommand
	warn func(path, what string)
}

// openRepository opens a directory in which git was made a repository.
func openRepository(dir string, git gitCommand, warn func(path, what string)) (*repository, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	r := &repository{dir: dir, root: root, git: git, warn: warn}
	if err := r.prepare(); err != nil {
		root.Close()
		return nil, err
	}
	return r, nil
}

func (r *repository) Close() error { return r.root.Close() }

// prepare makes sure of what belongs to the repository. Files in the rootfs do not
// say how git treats it.
func (r *repository) prepare() error {
	info, err := r.root.Lstat(".git")
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s/.git is not a directory: cloudlets git works in main work trees only", r.dir)
	}
	for _, dir := range []string{tarball.GitState, ".git/info"} {
		if err := r.root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return r.writeChanged(".git/info/attributes", []byte(attributesText))
}

// lock keeps other processes from working on the directory until unlock is called.
func (r *repository) lock() (unlock func(), err error) {
	f, err := r.root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", r.dir, err)
	}
	return func() { f.Close() }, nil
}

// read returns the content of a file, or nil where there is none.
func (r *repository) read(path string) ([]byte, error) {
	content, err := r.root.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return content, err
}

// write replaces a file in one step.
func (r *repository) write(path string, content []byte) error {
	temporary := path + ".new"
	f, err := r.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return r.root.Rename(temporary, path)
}

// writeChanged writes a file unless it is so already.
func (r *repository) writeChanged(path string, content []byte) error {
	old, err := r.read(path)
	if err != nil || old != nil && bytes.Equal(old, content) {
		return err
	}
	return r.write(path, content)
}

// writeMetadata writes the metadata file. That it is written changes no time that
// it speaks of.
func (r *repository) writeMetadata(text []byte) error {
	restore := r.holdTimes("", filepath.Dir(MetadataPath))
	if err := r.root.MkdirAll(filepath.Dir(MetadataPath), 0o755); err != nil {
		return err
	}
	return errors.Join(r.writeChanged(MetadataPath, text), restore())
}

// holdTimes returns a function that gives directories the times they have now.
func (r *repository) holdTimes(dirs ...string) (restore func() error) {
	times := make(map[string]time.Time)
	for _, dir := range dirs {
		if info, err := r.root.Lstat(dot(dir)); err == nil && info.IsDir() {
			times[dir] = info.ModTime()
		}
	}
	return func() error {
		var errs []error
		for dir, t := range times {
			errs = append(errs, r.root.Chtimes(dot(dir), time.Time{}, t))
		}
		return errors.Join(errs...)
	}
}

// dot returns the name of the root for the path "".
func dot(path string) string {
	if path == "" {
		return "."
	}
	return path
}

// state is what was left of the metadata the last time.
type state struct {
	wanted []byte // the metadata file; nil if there was none
	seen   []byte // what the directory was: not all may be able to be as wanted
}

func (r *repository) state() (s state, err error) {
	if s.wanted, err = r.read(wantedFile); err != nil {
		return s, err
	}
	if s.seen, err = r.read(seenFile); s.seen == nil {
		s.seen = s.wanted
	}
	return s, err
}

// setState records what was left. A state that was written by halves is taken for
// that of another metadata file, which is then applied.
func (r *repository) setState(wanted, seen []byte) error {
	if bytes.Equal(wanted, seen) {
		if err := r.root.Remove(seenFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	} else if err := r.writeChanged(seenFile, seen); err != nil {
		return err
	}
	return r.writeChanged(wantedFile, wanted)
}

// refresh makes the metadata file say what is in the directory. If the file is not
// what was left, git has changed it: then the directory is made to be as it says.
// It returns the scan, closed.
func (r *repository) refresh(ctx context.Context) (_ *scan, err error) {
	unlock, err := r.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	file, err := r.read(MetadataPath)
	if err != nil {
		return nil, err
	}
	left, err := r.state()
	if err != nil {
		return nil, err
	}
	if file != nil && !bytes.Equal(file, left.wanted) {
		if err := r.applyLocked(ctx); err != nil {
			return nil, err
		}
		if left, err = r.state(); err != nil {
			return nil, err
		}
	}
	scan, err := r.scan(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, scan.Close()) }()
	seen := scan.metadata.encode()
	wanted := seen
	if file != nil && (!bytes.Equal(seen, left.seen) || !bytes.Equal(left.seen, left.wanted)) {
		if wanted, err = update(left, scan); err != nil {
			return nil, err
		}
	}
	if err := r.writeMetadata(wanted); err != nil {
		return nil, err
	}
	return scan, r.setState(wanted, seen)
}

// update returns the metadata file after a change of the directory. What could not
// be as it was wanted, and has not changed since, is still wanted.
func update(left state, now *scan) ([]byte, error) {
	seen, err := parseMetadata(left.seen)
	if err != nil {
		return nil, err
	}
	wanted, err := parseMetadata(left.wanted)
	if err != nil {
		return nil, err
	}
	for path := range seen {
		if _, there := now.metadata[path]; !there {
			delete(seen, path)
			delete(wanted, path)
		}
	}
	is := now.metadata
	keepTimesOfVolatile(is, seen, now.volatile)
	merged, _ := merge(seen, is, wanted)
	return merged.encode(), nil
}

// keepTimesOfVolatile keeps the times that directories had which have changed in
// nothing but what is volatile.
func keepTimesOfVolatile(is, was metadata, volatile []string) {
	for _, path := range volatile {
		dir := parent(strings.TrimSuffix(path, "/"))
		if strings.HasSuffix(path, "/") {
			dir = strings.TrimSuffix(path, "/")
		}
		if line, ok := was[dir]; ok && is[dir] != "" && is[dir] != line && sameButTime(line, is[dir]) && sameNames(is, was, dir) {
			is[dir] = line
		}
	}
}

// sameNames reports whether a directory has the same in it.
func sameNames(a, b metadata, dir string) bool { return names(a, dir) == names(b, dir) }

// names returns the names in a directory, each with a slash after it.
func names(m metadata, dir string) string {
	var all []string
	for path := range m {
		if path != "" && parent(path) == dir {
			all = append(all, path)
		}
	}
	return joinSorted(all)
}

// apply makes the directory be as the metadata file says.
func (r *repository) apply(ctx context.Context) error {
	unlock, err := r.lock()
	if err != nil {
		return err
	}
	defer unlock()
	return r.applyLocked(ctx)
}

func (r *repository) applyLocked(ctx context.Context) (err error) {
	file, err := r.read(MetadataPath)
	if err != nil || file == nil {
		return err // a commit of before, or of others
	}
	wanted, err := parseMetadata(file)
	if err != nil {
		return err
	}
	left, err := r.state()
	if err != nil {
		return err
	}
	before, err := parseMetadata(left.wanted)
	if err != nil {
		return err
	}
	changed, err := r.impose(ctx, wanted, before)
	if err != nil {
		return err
	}
	now, err := r.scan(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, now.Close()) }()
	if err := r.setState(file, now.metadata.encode()); err != nil {
		return err
	}
	if changed {
		r.git.refreshIndex(ctx)
	}
	return nil
}

// impose makes the directory be as wanted, and reports whether it was not.
func (r *repository) impose(ctx context.Context, wanted, before metadata) (changed bool, err error) {
	now, err := r.scan(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, now.Close()) }()
	tree, err := impose(ctx, now.all, now, wanted, before, r.warn)
	if err != nil {
		return false, err
	}
	changes, err := diff.Trees(now.all, tree, func(a, b *image.Inode) (bool, error) {
		return slices.Equal(holes(a), holes(b)), nil
	})
	if err != nil || len(changes) == 0 {
		return false, err
	}
	// Whoever is not root owns all that it can write.
	o := workdir.Options{NoOwner: os.Geteuid() != 0, Warn: r.warn}
	// Files that are written anew come first, while what they are read from is
	// as it was.
	anew, rest := rewritten(changes)
	for _, part := range [][]diff.Change{anew, rest} {
		if err := workdir.Apply(ctx, r.dir, tree, part, now, o); err != nil {
			return true, err
		}
	}
	return true, nil
}

// rewritten parts the changes of regular files that are written anew from others.
func rewritten(changes []diff.Change) (anew, rest []diff.Change) {
	for _, c := range changes {
		if c.Old != nil && c.New != nil && c.New.IsRegular() && (c.Aspects&(diff.Content|diff.Links) != 0 || c.New.Links > 1) {
			anew = append(anew, c)
		} else {
			rest = append(rest, c)
		}
	}
	return anew, rest
}
