package erofs

import (
	"encoding/binary"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/image"
)

// readXattrs reads the attributes of a file, whose inode says how many words
// they take.
func (r *reader) readXattrs(n *inode, words uint16) error {
	if words == 0 {
		return nil
	}
	length := xattrHeaderSize + (int64(words)-1)*xattrAlign
	body, err := r.file.Bytes("attributes", uint64(n.end), length)
	if err != nil {
		return err
	}
	n.end += length
	if err := r.memory.Spend(length); err != nil {
		return err
	}
	count := int(body[xattrSharedCount])
	body = body[xattrHeaderSize:]
	if count*xattrAlign > len(body) {
		return fmt.Errorf("%w: %d shared attributes in %d bytes", container.ErrFormat, count, len(body))
	}
	for ; count > 0; count-- {
		a, err := r.sharedXattr(binary.LittleEndian.Uint32(body))
		if err != nil {
			return err
		}
		n.Xattrs = append(n.Xattrs, a)
		body = body[xattrAlign:]
	}
	for len(body) >= xattrEntrySize {
		size, err := entrySize(body)
		if err != nil {
			return err
		}
		a, err := decodeXattr(body[:size])
		if err != nil {
			return err
		}
		n.Xattrs = append(n.Xattrs, a)
		body = body[min(len(body), (size+xattrAlign-1)&^(xattrAlign-1)):]
	}
	if err := r.memory.Spend(container.XattrMemory * int64(len(n.Xattrs))); err != nil {
		return err
	}
	return container.SortXattrs(n.Xattrs)
}

// sharedXattr returns a shared attribute.
func (r *reader) sharedXattr(number uint32) (image.Xattr, error) {
	if a, ok := r.shared[number]; ok {
		return a, nil
	}
	at := uint64(r.place(r.xattrBlock)) + uint64(number)*xattrAlign
	header, err := r.file.Bytes("shared attribute", at, xattrEntrySize)
	if err != nil {
		return image.Xattr{}, err
	}
	size := xattrEntrySize + int(header[0]) + int(binary.LittleEndian.Uint16(header[2:]))
	entry, err := r.file.Bytes("shared attribute", at, int64(size))
	if err != nil {
		return image.Xattr{}, err
	}
	a, err := decodeXattr(entry)
	if err != nil {
		return image.Xattr{}, err
	}
	r.shared[number] = a
	return a, r.memory.Spend(container.XattrMemory + int64(size))
}

// entrySize returns how long the entry at the start of b is, which must hold it.
func entrySize(b []byte) (int, error) {
	size := xattrEntrySize + int(b[0]) + int(binary.LittleEndian.Uint16(b[2:]))
	if size > len(b) {
		return 0, fmt.Errorf("%w: an extended attribute of %d bytes in the %d that are left", container.ErrFormat, size, len(b))
	}
	return size, nil
}

// decodeXattr decodes an entry without its padding.
func decodeXattr(entry []byte) (image.Xattr, error) {
	prefix := int(entry[1])
	if prefix&prefixLong != 0 {
		return image.Xattr{}, fmt.Errorf("%w: an extended attribute with a prefix of the filesystem's own", container.ErrUnsupported)
	}
	name := string(entry[xattrEntrySize : xattrEntrySize+int(entry[0])])
	if prefix >= len(xattrPrefixes) || xattrPrefixes[prefix] == "" || isACL(prefix) != (name == "") {
		return image.Xattr{}, fmt.Errorf("%w: an extended attribute %q with prefix %d", container.ErrFormat, name, prefix)
	}
	return image.Xattr{Name: xattrPrefixes[prefix] + name, Value: entry[xattrEntrySize+len(name):]}, nil
}
