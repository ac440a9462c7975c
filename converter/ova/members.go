package ova

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cloudlets/cloudlets/converter/container"
)

const (
	maxFiles = 1000
	maxText  = 1 << 20 // bytes of the description and of the manifest
)

// member is a file of a package.
type member struct {
	name string
	file container.File // the package
	off  int64          // where its content begins in the package
	size int64          // bytes
}

// content returns a reader of the file.
func (m member) content() *io.SectionReader {
	return io.NewSectionReader(m.file.Reader, m.off, m.size)
}

// text returns the content of a short file.
func (m member) text() ([]byte, error) {
	if m.size > maxText {
		return nil, fmt.Errorf("%w: %q has %d bytes, want at most %d", container.ErrFormat, m.name, m.size, maxText)
	}
	return m.file.Bytes(m.name, uint64(m.off), m.size)
}

// readMembers lists the files of a package. They must lie in it, wholly and as
// they are.
func readMembers(f container.File) ([]member, error) {
	section := io.NewSectionReader(f.Reader, 0, f.Size)
	var members []member
	names := make(map[string]bool)
	for r := tar.NewReader(section); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return members, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: read the tar: %w", container.ErrFormat, err)
		}
		if len(members) == maxFiles {
			return nil, fmt.Errorf("%w: it has more than %d files", container.ErrFormat, maxFiles)
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		// The tar's reader stands at the content, having read no further.
		off, err := section.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		if err := checkMember(f, h, off); err != nil {
			return nil, err
		}
		if names[h.Name] {
			return nil, fmt.Errorf("%w: it has the file %q twice", container.ErrFormat, h.Name)
		}
		names[h.Name] = true
		members = append(members, member{name: h.Name, file: f, off: off, size: h.Size})
	}
}

// checkMember checks a file whose content begins at off.
func checkMember(f container.File, h *tar.Header, off int64) error {
	if h.Typeflag != tar.TypeReg || isSparse(h) {
		return fmt.Errorf("%w: %q is a tar entry of type %q, want plain files", container.ErrUnsupported, h.Name, h.Typeflag)
	}
	return f.Contains("file "+h.Name, uint64(off), h.Size)
}

// isSparse reports whether a file's content is stored without its holes, as GNU
// tar can note in PAX records.
func isSparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}
