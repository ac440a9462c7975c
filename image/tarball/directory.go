package tarball

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// FromDir writes a tar of what is in a directory to w: the same bytes for the
// same files, in any directory and by any user. Entries are sorted by name, the
// directory itself is the first, and users and groups are numbers. Owners,
// modes, times to the nanosecond, extended attributes, ACLs, devices, hard links
// and holes are kept; access times and the like are not. Sockets are left out,
// and warn is told; it is also told of attributes that a tar cannot hold.
//
// What `cloudlets git` keeps in a directory is left out of it: where the directory
// /.git/cloudlets exists, /.git and /.cloudlet/metadata, and /.cloudlet if it
// holds nothing else.
//
// Nothing is followed out of the directory, whoever changes it meanwhile. A file
// that changes while it is read is an error.
func FromDir(ctx context.Context, dir string, w io.Writer, warn func(path, what string)) error {
	root, err := openRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	out := &fileCopier{Writer: bufio.NewWriterSize(w, dirBuffer), ctx: ctx, buf: make([]byte, dirBuffer)}
	if err := writeDir(ctx, root, out, warn); err != nil {
		return err
	}
	return out.Flush()
}

// openRoot opens a directory to make a tar of.
func openRoot(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("read directory %s: %w", dir, err)
	}
	return os.NewFile(uintptr(fd), dir), nil
}

const dirBuffer = 256 << 10

// dirSink takes the tar of a directory: headers are written to it, and files
// given to it.
type dirSink interface {
	io.Writer
	// file takes the content of a file that an entry describes.
	file(f *os.File, e *Entry, st *unix.Stat_t) error
}

// fileCopier is a dirSink that copies what files hold.
type fileCopier struct {
	*bufio.Writer
	ctx context.Context
	buf []byte
}

func (c *fileCopier) file(f *os.File, e *Entry, _ *unix.Stat_t) error {
	for _, part := range e.Content {
		if err := c.content(io.NewSectionReader(f, part.Start, part.Length), part.Length); err != nil {
			return fmt.Errorf("%q: %w", e.Path, err)
		}
	}
	return nil
}

// fileID tells files of one machine apart.
type fileID struct{ dev, ino uint64 }

type dirWriter struct {
	*Writer
	sink  dirSink
	ctx   context.Context
	warn  func(path, what string)
	names map[fileID]string // the first name of files that have several
	isGit bool              // the directory is a work tree of cloudlets git
}

// writeDir writes the tar of an open directory to a sink.
func writeDir(ctx context.Context, root *os.File, sink dirSink, warn func(path, what string)) error {
	d := dirWriter{ctx: ctx, warn: warn, Writer: NewWriter(sink), sink: sink, names: make(map[fileID]string), isGit: isGitDir(root)}
	if err := d.directory(root, ".", root, ""); err != nil {
		return fmt.Errorf("make a tar of %s: %w", root.Name(), err)
	}
	if err := d.End(); err != nil {
		return fmt.Errorf("make a tar of %s: %w", root.Name(), err)
	}
	return nil
}

// directory writes an open directory, which has a name in parent, and what is
// in it.
func (d *dirWriter) directory(parent *os.File, name string, dir *os.File, path string) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	e, err := d.entry(parent, name, path, &st)
	if err != nil {
		return err
	}
	if err := d.Header(e); err != nil {
		return err
	}
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	slices.Sort(names)
	for _, child := range names {
		if err := d.ctx.Err(); err != nil {
			return err
		}
		if d.isGit && (path == "" || path == ".cloudlet") && isGits(dir, path, child) {
			continue
		}
		if err := d.file(dir, child, strings.TrimPrefix(path+"/"+child, "/")); err != nil {
			return err
		}
	}
	return nil
}

// file writes whatever has a name in dir.
func (d *dirWriter) file(dir *os.File, name, path string) error {
	if len(path) > MaxPath {
		return fmt.Errorf("%.80q…: a path of %d bytes, the limit is %d", path, len(path), MaxPath)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFSOCK:
		d.warn(path, "a socket, left out")
		return nil
	case unix.S_IFDIR:
		child, err := openAt(dir, name, path, unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		defer child.Close()
		return d.directory(dir, name, child, path)
	}
	if first, seen := d.seen(&st, path); seen {
		return d.Header(&Entry{Path: path, HardLink: first, Mode: st.Mode, UID: st.Uid, GID: st.Gid, ModTime: modTime(&st)})
	}
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		return d.regular(dir, name, path)
	}
	e, err := d.entry(dir, name, path, &st)
	if err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		target := make([]byte, MaxPath+1)
		n, err := unix.Readlinkat(int(dir.Fd()), name, target)
		if err != nil {
			return fmt.Errorf("%q: %w", path, err)
		}
		e.Target = string(target[:n])
	}
	return d.Header(e)
}

// openAt opens what has a name in dir, unless that is a symbolic link.
func openAt(dir *os.File, name, path string, flags int) (*os.File, error) {
	flags |= unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := unix.Openat(int(dir.Fd()), name, flags, 0)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// seen returns the first path of a file that has several names, if it was
// written, and otherwise keeps this one.
func (d *dirWriter) seen(st *unix.Stat_t, path string) (first string, ok bool) {
	if st.Nlink < 2 {
		return "", false
	}
	id := fileID{st.Dev, st.Ino}
	if first, ok = d.names[id]; !ok {
		d.names[id] = path
	}
	return first, ok
}

// entry describes a file, without its content or target.
func (d *dirWriter) entry(dir *os.File, name, path string, st *unix.Stat_t) (*Entry, error) {
	e := &Entry{Path: path, Mode: st.Mode, UID: st.Uid, GID: st.Gid, ModTime: modTime(st)}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR, unix.S_IFBLK:
		e.Major, e.Minor = unix.Major(st.Rdev), unix.Minor(st.Rdev)
	}
	var err error
	if e.Xattrs, err = d.xattrs(dir, name, path); err != nil {
		return nil, fmt.Errorf("%q: read extended attributes: %w", path, err)
	}
	return e, nil
}

func modTime(st *unix.Stat_t) time.Time { return time.Unix(st.Mtim.Sec, st.Mtim.Nsec) }

// regular writes a regular file.
func (d *dirWriter) regular(dir *os.File, name, path string) error {
	f, err := openAt(dir, name, path, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var before, after unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &before); err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	e, err := d.entry(dir, name, path, &before)
	if err != nil {
		return err
	}
	if e.Content, err = fragments(f, &before); err != nil {
		return fmt.Errorf("%q: find its holes: %w", path, err)
	}
	e.Size = before.Size
	if err := d.Header(e); err != nil {
		return err
	}
	if err := d.sink.file(f, e, &before); err != nil {
		return err
	}
	if err := unix.Fstat(int(f.Fd()), &after); err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	if changed(&before, &after) {
		return fmt.Errorf("%q: %w", path, errChanged)
	}
	return d.Pad(e.DataSize())
}

// changed reports whether a file changed between two looks at it.
func changed(before, after *unix.Stat_t) bool {
	return before.Ino != after.Ino || before.Mode != after.Mode || before.Size != after.Size || before.Mtim != after.Mtim
}

var errChanged = errors.New("it changed while it was read")

func (c *fileCopier) content(r io.Reader, n int64) error {
	for n > 0 {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		k, err := r.Read(c.buf)
		if _, err := c.Write(c.buf[:k]); err != nil {
			return err
		}
		switch n -= int64(k); {
		case err == io.EOF && n > 0:
			return errChanged
		case err != nil && err != io.EOF:
			return err
		}
	}
	return nil
}

// holeUnit is what fragments of sparse files are rounded to, in bytes, so that
// file systems with other block sizes give the same tar in most cases.
const holeUnit = 4096

// statBlock is the unit of st_blocks (inode(7)).
const statBlock = 512

// fragments returns the parts of a file that are not holes.
func fragments(f *os.File, st *unix.Stat_t) ([]Fragment, error) {
	if st.Size == 0 {
		return nil, nil
	}
	if st.Blocks*statBlock >= st.Size {
		return []Fragment{{Length: st.Size}}, nil
	}
	var list []Fragment
	for end := int64(0); end < st.Size; {
		start, err := unix.Seek(int(f.Fd()), end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // holes up to the end
		}
		if err != nil {
			return nil, err
		}
		if end, err = unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE); err != nil {
			return nil, err
		}
		start &^= holeUnit - 1
		end = min((end+holeUnit-1)&^(holeUnit-1), st.Size)
		if n := len(list); n > 0 && list[n-1].Start+list[n-1].Length >= start {
			list[n-1].Length = end - list[n-1].Start
			continue
		}
		list = append(list, Fragment{Start: start, Length: end - start})
	}
	return list, nil
}

// xattrs returns the extended attributes of what has a name in dir, sorted,
// without opening it.
func (d *dirWriter) xattrs(dir *os.File, name, path string) ([]Xattr, error) {
	// There is no lgetxattrat in the kernels of Debian 12.
	file := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name)
	list, err := xattrCall(func(p []byte) (int, error) { return unix.Llistxattr(file, p) })
	if errors.Is(err, unix.ENOTSUP) || len(list) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var xattrs []Xattr
	for attr := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		if strings.Contains(attr, "=") {
			d.warn(path, fmt.Sprintf("the attribute %q, left out: a tar cannot hold its name", attr))
			continue
		}
		value, err := xattrCall(func(p []byte) (int, error) { return unix.Lgetxattr(file, attr, p) })
		if err != nil {
			return nil, fmt.Errorf("%s: %w", attr, err)
		}
		xattrs = append(xattrs, Xattr{attr, value})
	}
	slices.SortFunc(xattrs, func(a, b Xattr) int { return strings.Compare(a.Name, b.Name) })
	return xattrs, nil
}

// xattrCall makes a call that returns how much room it needs when given none.
func xattrCall(call func([]byte) (int, error)) ([]byte, error) {
	for {
		n, err := call(nil)
		if n == 0 || err != nil {
			return nil, err
		}
		p := make([]byte, n)
		n, err = call(p)
		if errors.Is(err, unix.ERANGE) {
			continue // it grew
		}
		if err != nil {
			return nil, err
		}
		return p[:n], nil
	}
}
