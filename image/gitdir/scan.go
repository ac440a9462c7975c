package gitdir

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/tarball"
)

// scan is what is in a directory.
type scan struct {
	all      *image.Tree // what is there, but for git's own files
	metadata metadata    // of what is not volatile
	// volatile are the paths that are left out. One that ends with a slash
	// stands for all that is in a directory.
	volatile []string

	dir     *tarball.Dir
	content *extent.Reader
}

// What files of the tree are extents of.
const (
	scanned extent.Digest = "directory" // the tar that would be made of the directory
	zeros   extent.Digest = "zeros"     // zeros that are written, and no hole
)

// OpenBlob opens what files of the tree are extents of.
func (s *scan) OpenBlob(_ context.Context, d extent.Digest) (extent.Blob, error) {
	switch d {
	case scanned:
		return borrowed{s.content}, nil
	case zeros:
		return zeroBlob{}, nil
	}
	return nil, fmt.Errorf("unknown blob %s", d)
}

// zeroBlob holds nothing but zeros.
type zeroBlob struct{}

func (zeroBlob) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

func (zeroBlob) Size() int64 { return math.MaxInt64 }

func (zeroBlob) Close() error { return nil }

// borrowed is content that the scan closes.
type borrowed struct{ *extent.Reader }

func (borrowed) Close() error { return nil }

// Close ends reading.
func (s *scan) Close() error { return errors.Join(s.content.Close(), s.dir.Close()) }

// special returns the devices and FIFOs. git fails where one of them has taken the
// place of a file that it knows.
func (s *scan) special() []string {
	var list []string
	for path, n := range s.all.Walk() {
		if !n.IsDir() && !gitKeeps(n.Type()) {
			list = append(list, path)
		}
	}
	return list
}

// scan looks at the status of all files, and tells git what to ignore.
func (r *repository) scan(ctx context.Context) (*scan, error) {
	dir, err := tarball.OpenDir(ctx, r.dir, r.warn)
	if err != nil {
		return nil, err
	}
	s := &scan{dir: dir, content: extent.NewReader(ctx, dir.Map, dir)}
	if err := s.read(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := r.writeChanged(".git/info/exclude", ignored(s)); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *scan) read(ctx context.Context) (err error) {
	if s.all, err = image.Merge([]image.Layer{{Digest: scanned, Tar: s.content, Size: s.content.Size()}}); err != nil {
		return err
	}
	m, err := image.ReadCloudletManifest(ctx, s.all, s)
	if err != nil {
		return err
	}
	kept, err := image.DropVolatile(s.all, m)
	if err != nil {
		return err
	}
	s.metadata = describe(kept)
	if kept != s.all {
		s.volatile = leftOut(nil, "", s.all.Root, kept.Root)
	}
	return refuse(s.metadata)
}

// leftOut appends the paths that are in one tree and not in the other. A directory
// of which nothing but itself is kept gives one path, which ends with a slash.
func leftOut(list []string, path string, all, kept *image.Inode) []string {
	if all.IsDir() && path != "" && len(all.Names()) > 0 && (kept == nil || len(kept.Names()) == 0) {
		return append(list, path+"/")
	}
	if kept == nil {
		return append(list, path)
	}
	for _, name := range all.Names() {
		list = leftOut(list, strings.TrimPrefix(path+"/"+name, "/"), all.Lookup(name), kept.Lookup(name))
	}
	return list
}

// readByGit are names of files that git opens in every directory. It would wait for
// ever for a FIFO.
var readByGit = []string{".gitignore", ".gitattributes", ".gitmodules"}

// refuse refuses what git cannot keep: names that it takes for repositories of
// their own, and devices and FIFOs that it would read.
func refuse(m metadata) error {
	for path, line := range m {
		_, name := image.SplitPath(path)
		switch {
		case strings.EqualFold(name, ".git"):
			return fmt.Errorf("/%s: git cannot keep a file of this name in a repository: remove it, or make it volatile in the cloudlet manifest", path)
		case slices.Contains(readByGit, name) && !strings.HasPrefix(line, "type=file") && !strings.HasPrefix(line, "type=link") && !strings.HasPrefix(line, "type=dir"):
			return fmt.Errorf("/%s: git would read this device or FIFO: remove it", path)
		}
	}
	return nil
}

// joinSorted joins names in order.
func joinSorted(names []string) string {
	slices.Sort(names)
	return strings.Join(names, "\x00")
}
