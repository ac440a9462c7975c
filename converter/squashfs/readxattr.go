package squashfs

import (
	"encoding/binary"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/image"
)

// readXattrs returns the attributes with a number, sorted by name.
func (r *reader) readXattrs(number uint32) ([]image.Xattr, error) {
	if number == noXattrs {
		return nil, nil
	}
	if attrs, ok := r.xattrs[number]; ok {
		return attrs, nil
	}
	attrs, err := r.readXattrSet(number)
	if err != nil {
		return nil, fmt.Errorf("extended attributes %d: %w", number, err)
	}
	r.xattrs[number] = attrs
	return attrs, nil
}

func (r *reader) readXattrSet(number uint32) ([]image.Xattr, error) {
	const headerSize = 16
	if r.xattrTable == absent {
		return nil, fmt.Errorf("%w: the filesystem has none", container.ErrFormat)
	}
	header, err := r.metadata.file.Bytes("header of the attributes", r.xattrTable, headerSize)
	if err != nil {
		return nil, err
	}
	table, count := binary.LittleEndian.Uint64(header), binary.LittleEndian.Uint32(header[8:])
	if number >= count {
		return nil, fmt.Errorf("%w: there are only %d", container.ErrFormat, count)
	}
	c := r.metadata.entry("table of attributes", r.xattrTable+headerSize, uint64(number), xattrIDSize)
	ref, left := reference(c.uint64()), c.uint32()
	if c.err != nil {
		return nil, c.err
	}
	pairs := r.metadata.at("attributes", table, ref)
	var attrs []image.Xattr
	for ; left > 0; left-- {
		a, err := r.readXattr(pairs, table)
		if err != nil {
			return nil, err
		}
		attrs = append(attrs, a)
	}
	return attrs, container.SortXattrs(attrs)
}

// readXattr reads one attribute.
func (r *reader) readXattr(c *cursor, table uint64) (image.Xattr, error) {
	kind, length := c.uint16(), c.uint16()
	if c.err != nil {
		return image.Xattr{}, c.err
	}
	space := kind &^ xattrApart
	if int(space) >= len(xattrNamespaces) || length == 0 || length > maxXattrName {
		return image.Xattr{}, fmt.Errorf("%w: an attribute of namespace %d with a name of %d bytes, expected namespaces 0 to %d and 1 to %d bytes",
			container.ErrFormat, space, length, len(xattrNamespaces)-1, maxXattrName)
	}
	name := xattrNamespaces[space] + string(c.bytes(int(length)))
	value, err := r.readXattrValue(c)
	if kind&xattrApart != 0 && err == nil {
		if len(value) != inodeRefSize {
			return image.Xattr{}, fmt.Errorf("%w: the value of %q is said to be elsewhere, in %d bytes, expected %d", container.ErrFormat, name, len(value), inodeRefSize)
		}
		value, err = r.readXattrValue(r.metadata.at("value of an attribute", table, reference(binary.LittleEndian.Uint64(value))))
	}
	if err != nil {
		return image.Xattr{}, err
	}
	return image.Xattr{Name: name, Value: value}, r.memory.Spend(container.XattrMemory + int64(len(name)+len(value)))
}

func (r *reader) readXattrValue(c *cursor) ([]byte, error) {
	length := c.uint32()
	if c.err == nil && length > maxXattrValue {
		return nil, fmt.Errorf("%w: the value of an attribute has %d bytes, expected at most %d", container.ErrFormat, length, maxXattrValue)
	}
	value := c.bytes(int(min(length, maxXattrValue)))
	return value, c.err
}
