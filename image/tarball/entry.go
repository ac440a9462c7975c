package tarball

import (
	"strings"
	"syscall"
	"time"
)

// Limits on what one entry may hold. Names are bounded by what Linux can open
// (NAME_MAX and PATH_MAX of linux/limits.h, less the terminating NUL).
const (
	MaxName   = 255  // bytes of one component of a path
	MaxPath   = 4095 // bytes of a path and of a symbolic link's target
	maxMajor  = 1<<12 - 1
	maxMinor  = 1<<20 - 1
	maxXattr  = 64 << 10 // bytes of one value (XATTR_SIZE_MAX)
	maxSparse = 1 << 20  // fragments of one file
	// maxExtended bounds an extended header: names, attributes and sparse map.
	maxExtended = 8 << 20
)

// Entry is one entry of a tar: a file, or another name of one.
type Entry struct {
	// Path is the name, cleaned: slash-separated, without a slash or "." at
	// either end; "" is the root. It never holds a "..".
	Path string
	// HardLink, where not empty, is the path of the file that this entry is
	// another name of, cleaned in the same way. What follows it does not apply
	// then, except Offset.
	HardLink string

	Mode    uint32 // type and permission bits, as in st_mode of Linux
	UID     uint32
	GID     uint32
	ModTime time.Time
	Xattrs  []Xattr // sorted by name, each name once

	Target       string // a symbolic link's target, never empty
	Major, Minor uint32 // a device's numbers

	Size    int64      // of a regular file's content in bytes, holes included
	Content []Fragment // the parts of the content that are in the tar, in order; the rest are holes

	Offset int64 // where in the stream the entry's first header stands
}

// Xattr is one extended attribute. The POSIX ACL attributes
// system.posix_acl_access and system.posix_acl_default hold the kernel's
// little-endian xattr form, version 2 (linux/posix_acl_xattr.h), in whichever
// form the tar has them.
type Xattr struct {
	Name  string // with its namespace
	Value []byte
}

// Fragment is a run of a file's content that stands in the tar in one piece.
// All numbers are in bytes; Length is never zero.
type Fragment struct {
	Start  int64 // where in the file
	Length int64
	Offset int64 // where in the tar stream
}

// IsRegular reports whether the entry is a regular file and not another name
// of one.
func (e *Entry) IsRegular() bool {
	return e.HardLink == "" && e.Mode&syscall.S_IFMT == syscall.S_IFREG
}

// DataSize returns how many bytes of a file's content are in the tar, and not
// holes.
func (e *Entry) DataSize() int64 {
	var n int64
	for _, f := range e.Content {
		n += f.Length
	}
	return n
}

// cleanPath brings a name of a tar into the form of Entry.Path. Absolute names
// are taken relative to the root. ".." is refused wherever it stands: whether
// it leaves the tree depends on symbolic links, and nobody needs it.
func cleanPath(name string) (string, error) {
	switch {
	case name == "":
		return "", invalid("an empty name")
	case len(name) > MaxPath:
		return "", invalid("a name of %d bytes, the limit is %d", len(name), MaxPath)
	case strings.IndexByte(name, 0) >= 0:
		return "", invalid("name %q holds a NUL byte", name)
	}
	if isClean(name) {
		return name, nil
	}
	parts := make([]string, 0, strings.Count(name, "/")+1)
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "" || part == ".":
		case part == "..":
			return "", invalid("name %q holds \"..\", which could lead out of the image", name)
		case len(part) > MaxName:
			return "", invalid("name %q has a part of %d bytes, the limit is %d", name, len(part), MaxName)
		default:
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "/"), nil
}

// isClean reports whether cleanPath has nothing to do, without allocating.
func isClean(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." || len(part) > MaxName {
			return false
		}
	}
	return true
}
