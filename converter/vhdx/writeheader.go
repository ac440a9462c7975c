package vhdx

import (
	"encoding/binary"

	"github.com/cloudlets/cloudlets/converter/container"
)

// headerSection returns the identifier, the headers and the region tables.
func (l *layout) headerSection() []byte {
	p := make([]byte, regionCopyAt+regionSize)
	copy(p, identifierSignature)
	copy(p[identifierCreator:], encodeText("cloudlets"))
	copy(p[headerAt:], l.header(1))
	copy(p[headerCopyAt:], l.header(2))
	copy(p[regionAt:], l.regionTable())
	copy(p[regionCopyAt:], l.regionTable())
	return p
}

// header returns a header. Its log is empty, so it has no ID.
func (l *layout) header(sequence uint64) []byte {
	le := binary.LittleEndian
	p := make([]byte, headerSize)
	id := container.MixedEndian(l.id)
	copy(p, headerSignature)
	le.PutUint64(p[headerSequence:], sequence)
	copy(p[headerFileWrite:], id[:])
	copy(p[headerDataWrite:], id[:])
	le.PutUint16(p[headerVersion:], formatVersion)
	le.PutUint32(p[headerLogLength:], logSize)
	le.PutUint64(p[headerLogOffset:], logAt)
	seal(p, headerChecksum)
	return p
}

func (l *layout) regionTable() []byte {
	le := binary.LittleEndian
	p := make([]byte, regionSize)
	copy(p, regionSignature)
	regions := []region{
		{regionBAT, tableAt, l.tableSize()},
		{regionMetadata, metadataAt, metadataSize},
	}
	le.PutUint32(p[regionCount:], uint32(len(regions)))
	for i, r := range regions {
		e := p[regionEntries+i*tableEntrySize:]
		id := container.MixedEndian(r.id)
		copy(e, id[:])
		le.PutUint64(e[regionEntryOffset:], uint64(r.offset))
		le.PutUint32(e[regionEntryLength:], uint32(r.length))
		le.PutUint32(e[regionEntryFlags:], regionFlagRequired)
	}
	seal(p, regionChecksum)
	return p
}

// region is an entry of a region table.
type region struct {
	id             guid
	offset, length int64 // bytes
}

// item is a metadata item.
type item struct {
	id    guid
	flags uint32
	data  []byte
}

// metadata returns the metadata table and its items.
func (l *layout) metadata() []byte {
	le := binary.LittleEndian
	items := l.items()
	p := make([]byte, metadataTableSize)
	copy(p, metadataSignature)
	le.PutUint16(p[metadataCount:], uint16(len(items)))
	for i, it := range items {
		e := p[metadataEntries+i*tableEntrySize:]
		id := container.MixedEndian(it.id)
		copy(e, id[:])
		le.PutUint32(e[metadataEntryOffset:], uint32(len(p)))
		le.PutUint32(e[metadataEntryLength:], uint32(len(it.data)))
		le.PutUint32(e[metadataEntryFlags:], it.flags)
		p = append(p, it.data...)
	}
	return p
}

func (l *layout) items() []item {
	const onDisk = metadataFlagDisk | metadataFlagRequired
	le := binary.LittleEndian
	flags := uint32(0)
	if l.fixed {
		flags |= flagLeaveAllocated
	}
	if l.parent != nil {
		flags |= flagHasParent
	}
	id := container.MixedEndian(l.id)
	items := []item{
		{itemFileParameters, metadataFlagRequired, le.AppendUint32(le.AppendUint32(nil, uint32(l.blockSize)), flags)},
		{itemDiskSize, onDisk, le.AppendUint64(nil, uint64(l.size))},
		{itemDiskID, onDisk, id[:]},
		{itemLogicalSector, onDisk, le.AppendUint32(nil, sectorSize)},
		{itemPhysicalSector, onDisk, le.AppendUint32(nil, physicalSectorSize)},
	}
	if l.parent != nil {
		items = append(items, item{itemParentLocator, metadataFlagRequired, l.parentLocator()})
	}
	return items
}
