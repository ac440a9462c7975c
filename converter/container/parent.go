package container

import (
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"

	"github.com/cloudlets/cloudlets/extent"
)

// Parent is a disk that a file may leave the rest of its content to.
type Parent struct {
	Digest extent.Digest // of the disk, raw
	Size   int64         // bytes
}

// AppendTo appends n bytes at off of the parent to b. What lies beyond its end
// is zero.
func (p Parent) AppendTo(b *extent.Builder, off, n int64) {
	held := min(n, max(0, p.Size-off))
	if held > 0 {
		b.Source(p.Digest, off, held)
	}
	b.Zero(n - held)
}

// FindParent returns the disk that a file leaves content to. name is what the
// file calls it: it is compared, and never opened. An error ends the reading. A
// nil FindParent knows no parent.
type FindParent func(name string) (Parent, error)

// Find returns the parent that a file names. The error is a [ParentError] where
// there is nobody to ask.
func (f FindParent) Find(name string) (Parent, error) {
	if f == nil {
		return Parent{}, &ParentError{Name: name}
	}
	return f(name)
}

// ParentError says that a file leaves content to a parent which was not given.
type ParentError struct {
	Name string `json:"parent"` // that the file has for it
}

func (e *ParentError) Error() string {
	return fmt.Sprintf("%v: the file holds only what differs from its parent, which it names %.200q; names in files are never opened", ErrUnsupported, e.Name)
}

func (e *ParentError) Unwrap() error { return ErrUnsupported }

// GivenParent returns a FindParent that knows one parent, whatever file asks for
// it. A digest in the file must be the parent's. The name of a file is not looked
// at: who gives the parent has said what it is. What would have other programs
// open more than a file, such as json: or nbd://, is refused. Errors wrap
// ErrUnsupported.
func GivenParent(p Parent) FindParent {
	return func(name string) (Parent, error) {
		d, isDigest := parseDigest(name)
		switch {
		case isDigest && d != p.Digest:
			return Parent{}, fmt.Errorf("%w: the file holds what differs from the disk %s, and the parent that was given is the disk %s", ErrUnsupported, d, p.Digest)
		case !isDigest && !namesFile(name):
			return Parent{}, fmt.Errorf("%w: the file names its parent %.200q, which is neither a digest nor a file: name one there first, "+
				"in a qcow2 with qemu-img rebase -u", ErrUnsupported, name)
		}
		return p, nil
	}
}

// parseDigest returns the digest that a name is, in the one form that is
// accepted.
func parseDigest(name string) (d extent.Digest, ok bool) {
	const algorithm, digits = "sha256:", 64
	sum, ok := strings.CutPrefix(name, algorithm)
	if !ok || len(sum) != digits || strings.ToLower(sum) != sum {
		return "", false
	}
	_, err := hex.DecodeString(sum)
	return extent.Digest(name), err == nil
}

// namesFile reports whether a name is that of a file, and not of a protocol: QEMU
// takes what stands before a colon for one, unless a slash comes first
// (util/path.c, path_has_protocol). Drives of Windows have one letter.
func namesFile(name string) bool {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return false
	}
	colon := strings.IndexByte(name, ':')
	drive := colon == 1 && unicode.IsLetter(rune(name[0]))
	slash := strings.IndexAny(name, `/\`)
	return colon < 0 || drive || slash >= 0 && slash < colon
}
