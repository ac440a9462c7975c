package container

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/cloudlets/cloudlets/extent"
)

// FindParent returns the disk of a digest. Readers ask it for what a file leaves
// to its parent; an error ends the reading. A nil FindParent knows no parent.
type FindParent func(d extent.Digest) (Parent, error)

// Find returns the parent that a file names. Only a digest names one: whatever
// else could stand in a file, a path or a URL, would lead a reader to what the
// file's author chose and its owner never saw. Such a name, and a parent that
// nobody gave, is an error that wraps ErrUnsupported.
func (f FindParent) Find(name string) (Parent, error) {
	d, err := parseDigest(name)
	if err != nil {
		return Parent{}, err
	}
	if f == nil {
		return Parent{}, fmt.Errorf("%w: the file holds only what differs from the disk %s, and that was not given", ErrUnsupported, d)
	}
	p, err := f(d)
	if err != nil {
		return Parent{}, fmt.Errorf("find the parent %s: %w", d, err)
	}
	return p, nil
}

// parseDigest returns the digest that a parent is named by: the SHA-256 of its
// disk, raw.
func parseDigest(name string) (extent.Digest, error) {
	const algorithm, digits = "sha256:", 64
	sum, ok := strings.CutPrefix(name, algorithm)
	if _, err := hex.DecodeString(sum); !ok || err != nil || len(sum) != digits || strings.ToLower(sum) != sum {
		return "", fmt.Errorf("%w: the file holds only what differs from %.200q; a parent is accepted by the digest of its raw disk alone, "+
			"%s and %d hexadecimal digits: merge the two files first: qemu-img convert -O raw FILE OUT", ErrUnsupported, name, algorithm, digits)
	}
	return extent.Digest(name), nil
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

// Base is a disk that a writer leaves content to: all that the written disk has
// in common with it.
type Base struct {
	Digest extent.Digest // of the disk, raw
	Map    *extent.Map
}

// Check returns an error unless the digest can name the parent in a file.
func (p *Base) Check() error {
	_, err := parseDigest(string(p.Digest))
	return err
}

// Runs returns, in order, the runs of grains in which a disk differs from its
// base. Extents are compared, not content: equal extents have equal content,
// and different ones count as different.
func (p *Base) Runs(disk *extent.Map, grain int64) []Run {
	var runs []Run
	for off := int64(0); off < disk.Size(); {
		mine, n := at(disk, off, disk.Size()-off)
		theirs, n := at(p.Map, off, n)
		if !p.same(mine, theirs, off, n) {
			run := Run{First: off / grain}
			run.Count = (off+n-1)/grain + 1 - run.First
			runs = appendRun(runs, run)
		}
		off += n
	}
	return runs
}

// at returns what a map has at off, and for how many bytes, n at most. Beyond
// its end it is zero.
func at(m *extent.Map, off, n int64) (extent.Extent, int64) {
	if off >= m.Size() {
		return extent.Extent{Kind: extent.Zero, Length: n}, n
	}
	start, e := m.At(m.Find(off))
	n = min(n, start+e.Length-off)
	return e.Slice(off-start, e.Length-(off-start)), n
}

// same says whether the first n bytes of two extents at off of their disks are
// the same.
func (p *Base) same(mine, theirs extent.Extent, off, n int64) bool {
	if mine.Kind == extent.Source && mine.Digest == p.Digest && mine.Offset == off {
		return true // the disk says itself that it has this of its parent
	}
	if mine.Kind != theirs.Kind {
		return false
	}
	switch mine.Kind {
	case extent.Inline:
		return bytes.Equal(mine.Data[:n], theirs.Data[:n])
	case extent.Source:
		return mine.Digest == theirs.Digest && mine.Offset == theirs.Offset
	}
	return true
}
