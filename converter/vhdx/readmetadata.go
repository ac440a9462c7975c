package vhdx

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/cloudlets/cloudlets/converter/container"
)

// readMetadata reads what the disk is.
func (r *reader) readMetadata() error {
	items, err := r.readItems()
	if err != nil {
		return err
	}
	if err := r.readParameters(items); err != nil {
		return err
	}
	locator, ok := items[itemParentLocator]
	if ok != r.differencing {
		return fmt.Errorf("%w: the file has a parent: %v; it names one: %v", container.ErrFormat, r.differencing, ok)
	}
	if !ok {
		return nil
	}
	return r.readParent(locator)
}

// readItems returns the metadata items that the reader knows.
func (r *reader) readItems() (map[guid][]byte, error) {
	le := binary.LittleEndian
	p, err := r.file.Bytes("metadata table", uint64(r.metadata.offset), metadataTableSize)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(string(p), metadataSignature) {
		return nil, fmt.Errorf("%w: the metadata begin with %q, not %q", container.ErrFormat, p[:len(metadataSignature)], metadataSignature)
	}
	count := int(le.Uint16(p[metadataCount:]))
	if count > maxTableCount {
		return nil, fmt.Errorf("%w: %d metadata items; want at most %d", container.ErrFormat, count, maxTableCount)
	}
	items := make(map[guid][]byte)
	for i := range count {
		if err := r.readItem(items, p[metadataEntries+i*tableEntrySize:][:tableEntrySize]); err != nil {
			return nil, fmt.Errorf("metadata item %d: %w", i, err)
		}
	}
	return items, nil
}

// readItem adds the item of an entry to items.
func (r *reader) readItem(items map[guid][]byte, e []byte) error {
	le := binary.LittleEndian
	id, flags := container.MixedEndian(guid(e)), le.Uint32(e[metadataEntryFlags:])
	size, known := itemSize(id)
	if !known || flags&metadataFlagUser != 0 {
		if flags&metadataFlagRequired != 0 {
			return fmt.Errorf("%w: the item %x must be known", container.ErrUnsupported, id)
		}
		return nil
	}
	off, length := int64(le.Uint32(e[metadataEntryOffset:])), int64(le.Uint32(e[metadataEntryLength:]))
	if off < metadataTableSize || off+length > r.metadata.length || length > maxMetadataItem {
		return fmt.Errorf("%w: %d bytes at %d of the metadata, which have %d", container.ErrFormat, length, off, r.metadata.length)
	}
	if size > 0 && length != size {
		return fmt.Errorf("%w: the item %x has %d bytes; want %d", container.ErrFormat, id, length, size)
	}
	if _, ok := items[id]; ok {
		return fmt.Errorf("%w: a second item %x", container.ErrFormat, id)
	}
	p, err := r.file.Bytes("metadata item", uint64(r.metadata.offset+off), length)
	items[id] = p
	return err
}

// itemSize returns the length of an item that the reader knows, in bytes; 0 is
// any.
func itemSize(id guid) (size int64, known bool) {
	switch id {
	case itemFileParameters:
		return fileParametersSize, true
	case itemDiskSize:
		return 8, true
	case itemDiskID:
		return int64(len(guid{})), true
	case itemLogicalSector, itemPhysicalSector:
		return 4, true
	case itemParentLocator:
		return 0, true
	}
	return 0, false
}

// readParameters reads the size of the disk, of its sectors and of its blocks.
func (r *reader) readParameters(items map[guid][]byte) error {
	le := binary.LittleEndian
	parameters, size, sector := items[itemFileParameters], items[itemDiskSize], items[itemLogicalSector]
	if parameters == nil || size == nil || sector == nil {
		return fmt.Errorf("%w: the metadata lack the file parameters, the disk's size or that of its sectors", container.ErrFormat)
	}
	r.blockSize = int64(le.Uint32(parameters))
	r.differencing = le.Uint32(parameters[4:])&flagHasParent != 0
	r.sector = int64(le.Uint32(sector))
	if !validBlockSize(r.blockSize) {
		return fmt.Errorf("%w: blocks of %d bytes; want a power of two from %d to %d", container.ErrFormat, r.blockSize, minBlockSize, maxBlockSize)
	}
	if r.sector != sectorSize && r.sector != largeSectorSize {
		return fmt.Errorf("%w: sectors of %d bytes; want %d or %d", container.ErrFormat, r.sector, sectorSize, largeSectorSize)
	}
	n := le.Uint64(size)
	if n > maxSize || n%uint64(r.sector) != 0 {
		return fmt.Errorf("%w: a disk of %d bytes; want a multiple of %d, at most %d", container.ErrFormat, n, r.sector, int64(maxSize))
	}
	r.size = int64(n)
	return nil
}
