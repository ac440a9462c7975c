package squashfs

import (
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
)

// listingPlace is where the listing of a directory is.
type listingPlace struct {
	start reference // in the directory table
	size  int64
}

// ReadDirectory is what [container.Inodes] asks for.
func (r *reader) ReadDirectory(id uint64, link func(name string, id uint64) error) error {
	place := r.listings[reference(id)]
	delete(r.listings, reference(id))
	c := r.metadata.at("directory", r.dirTable, place.start)
	for left := place.size; left > 0; {
		count, block := int64(c.uint32())+1, int64(c.uint32())
		c.uint32() // the inode numbers start from it
		left -= dirHeaderSize
		if c.err == nil && (count > maxRunEntries || count*(dirEntrySize+1) > left) {
			return fmt.Errorf("%w: %d entries in a row in the %d bytes that are left of the directory, at most %d fit", container.ErrFormat, count, max(left, 0), maxRunEntries)
		}
		for range count {
			offset, name, err := readEntry(c, &left)
			if err != nil {
				return err
			}
			if err := link(name, uint64(newReference(block, int(offset)))); err != nil {
				return err
			}
		}
	}
	return c.err
}

// readEntry returns where in its block an inode is, and its name. left is how
// many bytes the directory has.
func readEntry(c *cursor, left *int64) (offset uint16, name string, err error) {
	offset = c.uint16()
	c.uint16() // the inode's number, as the difference to the header's
	c.uint16() // its type
	length := int64(c.uint16()) + 1
	*left -= dirEntrySize + length
	if c.err == nil && (length > maxNameLength || *left < 0) {
		return 0, "", fmt.Errorf("%w: a name of %d bytes, expected at most %d, within the directory", container.ErrFormat, length, maxNameLength)
	}
	name = string(c.bytes(int(min(length, maxNameLength))))
	return offset, name, c.err
}
