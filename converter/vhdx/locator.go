package vhdx

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/cloudlets/cloudlets/converter/container"
)

// parentLocator returns the item that names the parent.
func (l *layout) parentLocator() []byte {
	le := binary.LittleEndian
	linkage := container.UUID(guid{}, l.parent.Map, "VHDX")
	pairs := [][2]string{
		{locatorKeyLinkage, fmt.Sprintf("{%x-%x-%x-%x-%x}", linkage[:4], linkage[4:6], linkage[6:8], linkage[8:10], linkage[10:])},
		{locatorKeyRelative, string(l.parent.Digest)},
	}
	kind := container.MixedEndian(locatorVHDX)
	p := make([]byte, locatorEntries+len(pairs)*locatorEntrySize)
	copy(p, kind[:])
	le.PutUint16(p[locatorCount:], uint16(len(pairs)))
	for i, pair := range pairs {
		key, value := encodeText(pair[0]), encodeText(pair[1])
		e := p[locatorEntries+i*locatorEntrySize:]
		le.PutUint32(e[0:], uint32(len(p)))
		le.PutUint32(e[4:], uint32(len(p)+len(key)))
		le.PutUint16(e[8:], uint16(len(key)))
		le.PutUint16(e[10:], uint16(len(value)))
		p = append(append(p, key...), value...)
	}
	return p
}

// readParent finds the parent that a locator names, perhaps in several ways.
func (r *reader) readParent(p []byte) error {
	le := binary.LittleEndian
	if len(p) < locatorEntries {
		return fmt.Errorf("%w: a parent locator of %d bytes; want %d or more", container.ErrFormat, len(p), locatorEntries)
	}
	if id := container.MixedEndian(guid(p)); id != locatorVHDX {
		return fmt.Errorf("%w: a parent locator of the unknown type %x", container.ErrUnsupported, id)
	}
	count := int(le.Uint16(p[locatorCount:]))
	if len(p) < locatorEntries+count*locatorEntrySize {
		return fmt.Errorf("%w: a parent locator of %d bytes for %d entries", container.ErrFormat, len(p), count)
	}
	for i := range count {
		key, value, err := locatorEntry(p, i)
		if err != nil {
			return err
		}
		if strings.HasPrefix(key, locatorKeyLinkage) {
			continue // which state of the parent it was, or may be
		}
		parent, err := r.find.Find(value)
		if err != nil {
			return fmt.Errorf("parent locator %.100q: %w", key, err)
		}
		if known := r.disk.Parent; known != nil && *known != parent {
			return fmt.Errorf("%w: the parent locator names two parents", container.ErrFormat)
		}
		r.disk.Parent = &parent
	}
	if r.disk.Parent == nil {
		return fmt.Errorf("%w: the parent locator names no parent", container.ErrFormat)
	}
	if size := container.AlignUp(r.disk.Parent.Size, sectorSize); size != r.size {
		return fmt.Errorf("%w: a disk of %d bytes whose parent has %d: a differencing VHDX has the size of its parent", container.ErrFormat, r.size, size)
	}
	return nil
}

// locatorEntry returns entry i of a parent locator.
func locatorEntry(p []byte, i int) (key, value string, err error) {
	le := binary.LittleEndian
	e := p[locatorEntries+i*locatorEntrySize:]
	text := func(off uint32, n uint16) string {
		if uint64(off)+uint64(n) > uint64(len(p)) {
			err = fmt.Errorf("%w: entry %d of the parent locator ends outside its %d bytes", container.ErrFormat, i, len(p))
			return ""
		}
		return decodeText(p[off : off+uint32(n)])
	}
	key = text(le.Uint32(e[0:]), le.Uint16(e[8:]))
	value = text(le.Uint32(e[4:]), le.Uint16(e[10:]))
	return key, value, err
}
