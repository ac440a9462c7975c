package squashfs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/image"
)

// maxDepth is how many directories can be above a file: more than a path has
// room for in Linux.
const maxDepth = 2048

// dirListing is a directory whose listing is still to be read.
type dirListing struct {
	inode *image.Inode
	start reference // in the directory table
	size  int64

	above *dirListing
	name  string
	depth int
}

func (d *dirListing) path() string {
	var parts []string
	for ; d.above != nil; d = d.above {
		parts = append(parts, d.name)
	}
	slices.Reverse(parts)
	return "/" + strings.Join(parts, "/")
}

// readDirectory reads the entries of a directory and their inodes. It returns
// the directories among them.
func (r *reader) readDirectory(d *dirListing) (below []*dirListing, err error) {
	c := r.metadata.at("directory", r.dirTable, d.start)
	for left := d.size; left > 0; {
		count, block := int64(c.uint32())+1, c.uint32()
		c.uint32() // the inode numbers start from it
		left -= dirHeaderSize
		if c.err == nil && (count > maxRunEntries || count*(dirEntrySize+1) > left) {
			return nil, fmt.Errorf("%w: %d entries in a row in the %d bytes that are left of the directory, at most %d fit", container.ErrFormat, count, max(left, 0), maxRunEntries)
		}
		for range count {
			offset, _, _, length := c.uint16(), c.uint16(), c.uint16(), int64(c.uint16())+1
			left -= dirEntrySize + length
			if c.err == nil && (length > maxNameLength || left < 0) {
				return nil, fmt.Errorf("%w: a name of %d bytes, expected at most %d, within the directory", container.ErrFormat, length, maxNameLength)
			}
			name := string(c.bytes(int(min(length, maxNameLength))))
			if c.err != nil {
				return nil, c.err
			}
			list, err := r.readEntry(d, name, newReference(int64(block), int(offset)))
			if err != nil {
				return nil, fmt.Errorf("%q: %w", name, err)
			}
			if list != nil {
				below = append(below, list)
			}
		}
	}
	return below, nil
}

// readEntry links a file into a directory. It returns what is to be read next if
// that is a directory too.
func (r *reader) readEntry(d *dirListing, name string, ref reference) (*dirListing, error) {
	const linkMemory = 64 // in the directory's map
	if name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return nil, fmt.Errorf("%w: it is no name of a file", container.ErrFormat)
	}
	if d.inode.Lookup(name) != nil {
		return nil, fmt.Errorf("%w: the name stands twice in one directory", container.ErrFormat)
	}
	if err := r.spend(linkMemory + int64(len(name))); err != nil {
		return nil, err
	}
	if r.dirs[ref] {
		return nil, fmt.Errorf("%w: the directory has another name already, or contains itself", container.ErrFormat)
	}
	if n := r.files[ref]; n != nil {
		d.inode.Link(name, n)
		return nil, nil
	}
	n, list, err := r.readInode(ref)
	if err != nil {
		return nil, err
	}
	d.inode.Link(name, n)
	if list == nil {
		r.files[ref] = n
		return nil, nil
	}
	r.dirs[ref] = true
	list.above, list.name, list.depth = d, name, d.depth+1
	if list.depth > maxDepth {
		return nil, fmt.Errorf("%w: more than %d directories deep", container.ErrUnsupported, maxDepth)
	}
	return list, nil
}
