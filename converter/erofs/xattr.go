package erofs

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/cloudlets/cloudlets/converter/inventory"
	"github.com/cloudlets/cloudlets/image"
)

// xattrPrefixes are the starts of names, by prefix. A POSIX ACL has nothing
// after it.
var xattrPrefixes = [...]string{
	prefixUser:       "user.",
	prefixACLAccess:  "system.posix_acl_access",
	prefixACLDefault: "system.posix_acl_default",
	prefixTrusted:    "trusted.",
	prefixSecurity:   "security.",
}

// isACL reports whether a prefix is a whole name.
func isACL(prefix int) bool { return prefix == prefixACLAccess || prefix == prefixACLDefault }

// Limits of Linux (include/uapi/linux/limits.h); the length of a value has 16
// bits.
const (
	maxXattrName  = 255
	maxXattrValue = 1<<16 - 1
)

// encodeXattr returns the entry of an attribute.
func encodeXattr(a image.Xattr) ([]byte, error) {
	for prefix, start := range xattrPrefixes {
		name, ok := strings.CutPrefix(a.Name, start)
		if start == "" || !ok || isACL(prefix) != (name == "") {
			continue
		}
		if len(a.Name) > maxXattrName || strings.Contains(name, "\x00") || len(a.Value) > maxXattrValue {
			return nil, fmt.Errorf("extended attribute %q with a value of %d bytes, expected a name of up to %d bytes, none of them zero, and a value of up to %d: %w",
				a.Name, len(a.Value), maxXattrName, maxXattrValue, inventory.ErrTree)
		}
		entry := []byte{uint8(len(name)), uint8(prefix)}
		entry = binary.LittleEndian.AppendUint16(entry, uint16(len(a.Value)))
		entry = append(entry, name...)
		entry = append(entry, a.Value...)
		return append(entry, make([]byte, -len(entry)&(xattrAlign-1))...), nil
	}
	return nil, fmt.Errorf("extended attribute %q: the name must start with user., trusted. or security., or be that of a POSIX ACL: %w", a.Name, inventory.ErrTree)
}

// xattrTable is the attributes of all files. Those that several files have are
// shared.
type xattrTable struct {
	uses   map[string]int    // how many files have an entry
	places map[string]uint32 // of shared entries, in units of xattrAlign
	shared []byte
}

// collect counts the entries of all files.
func (t *xattrTable) collect(list *inventory.List) error {
	t.uses, t.places = make(map[string]int), make(map[string]uint32)
	for _, f := range list.Files {
		for _, a := range f.Xattrs {
			entry, err := encodeXattr(a)
			if err != nil {
				return fmt.Errorf("%s: %w", f.Path(), err)
			}
			t.uses[string(entry)]++
		}
	}
	return nil
}

// body returns what stands behind the inode of a file.
func (t *xattrTable) body(f *inventory.File) ([]byte, error) {
	if len(f.Xattrs) == 0 {
		return nil, nil
	}
	body := make([]byte, xattrHeaderSize)
	var own []byte
	for _, a := range f.Xattrs {
		entry, err := encodeXattr(a)
		if err != nil {
			return nil, err
		}
		if t.uses[string(entry)] == 1 || body[xattrSharedCount] == maxXattrShared {
			own = append(own, entry...)
			continue
		}
		body[xattrSharedCount]++
		body = binary.LittleEndian.AppendUint32(body, t.share(entry))
	}
	body = append(body, own...)
	if words := xattrWords(body); words > maxXattrWords {
		return nil, fmt.Errorf("%d bytes of extended attributes, expected at most %d: %w", len(body), (maxXattrWords-1)*xattrAlign, inventory.ErrTree)
	}
	return body, nil
}

// xattrWords returns how an inode says how long its attributes are.
func xattrWords(body []byte) int {
	if len(body) == 0 {
		return 0
	}
	return (len(body)-xattrHeaderSize)/xattrAlign + 1
}

// share returns the number of a shared entry.
func (t *xattrTable) share(entry []byte) uint32 {
	if place, ok := t.places[string(entry)]; ok {
		return place
	}
	place := uint32(len(t.shared) / xattrAlign)
	t.places[string(entry)] = place
	t.shared = append(t.shared, entry...)
	return place
}
