package squashfs

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/cloudlets/cloudlets/converter/inventory"
	"github.com/cloudlets/cloudlets/image"
)

// xattrNamespaces are those that have a form in squashfs, by kind.
var xattrNamespaces = [...]string{xattrUser: "user.", xattrTrusted: "trusted.", xattrSecurity: "security."}

// Limits of Linux (include/uapi/linux/limits.h).
const (
	maxXattrName  = 255
	maxXattrValue = 64 << 10
)

// xattrTable is the extended attributes of all files. Files with the same
// attributes share them.
type xattrTable struct {
	pairs metadata
	ids   metadata
	count uint32
	known map[string]uint32 // the number of a set, by its encoding
}

// add returns the number of a file's set of attributes, or noXattrs.
func (t *xattrTable) add(f *inventory.File, dropped func(path, attribute string)) (uint32, error) {
	var set []byte
	kept := 0
	for _, a := range f.Xattrs {
		kind, name, ok := xattrKind(a.Name)
		if !ok && dropped != nil {
			dropped(f.Path(), a.Name)
			continue
		}
		if !ok {
			return 0, fmt.Errorf("extended attribute %q: squashfs has user., trusted. and security. attributes only, and no POSIX ACLs; leave such attributes out explicitly, or choose a format that has them: %w", a.Name, inventory.ErrTree)
		}
		if err := checkXattr(a, name); err != nil {
			return 0, err
		}
		set = appendXattr(set, kind, name, a.Value)
		kept++
	}
	if kept == 0 {
		return noXattrs, nil
	}
	return t.set(set, kept), nil
}

// set returns the number of a set, which is written when it is new.
func (t *xattrTable) set(set []byte, attributes int) uint32 {
	if id, ok := t.known[string(set)]; ok {
		return id
	}
	if t.known == nil {
		t.known = make(map[string]uint32)
	}
	id := t.count
	t.count++
	t.known[string(set)] = id
	entry := binary.LittleEndian.AppendUint64(nil, uint64(t.pairs.position()))
	entry = binary.LittleEndian.AppendUint32(entry, uint32(attributes))
	entry = binary.LittleEndian.AppendUint32(entry, uint32(len(set)))
	t.ids.write(entry)
	t.pairs.write(set)
	return id
}

// finish returns the table as it stands at a place in the file, and where its
// own header is.
func (t *xattrTable) finish(at int64) (table []byte, header int64) {
	table = t.pairs.finish()
	ids := t.ids.finish()
	start := at + int64(len(table))
	table = append(table, ids...)
	header = at + int64(len(table))
	table = binary.LittleEndian.AppendUint64(table, uint64(at))
	table = binary.LittleEndian.AppendUint32(table, t.count)
	table = binary.LittleEndian.AppendUint32(table, 0) // unused
	for _, block := range t.ids.starts {
		table = binary.LittleEndian.AppendUint64(table, uint64(start+block))
	}
	return table, header
}

// xattrKind splits the name of an attribute. ok is false when squashfs has no
// form for it.
func xattrKind(full string) (kind uint16, name string, ok bool) {
	for kind, namespace := range xattrNamespaces {
		if name, ok := strings.CutPrefix(full, namespace); ok {
			return uint16(kind), name, true
		}
	}
	return 0, "", false
}

func checkXattr(a image.Xattr, name string) error {
	if name == "" || len(a.Name) > maxXattrName || strings.Contains(name, "\x00") || len(a.Value) > maxXattrValue {
		return fmt.Errorf("extended attribute %q with a value of %d bytes, expected a name of up to %d bytes, none of them zero, and a value of up to %d: %w",
			a.Name, len(a.Value), maxXattrName, maxXattrValue, inventory.ErrTree)
	}
	return nil
}

func appendXattr(p []byte, kind uint16, name string, value []byte) []byte {
	le := binary.LittleEndian
	p = le.AppendUint16(p, kind)
	p = le.AppendUint16(p, uint16(len(name)))
	p = append(p, name...)
	p = le.AppendUint32(p, uint32(len(value)))
	return append(p, value...)
}
