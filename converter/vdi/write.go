package vdi

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// ErrTooLarge is wrapped when a disk is larger than 32 TiB.
var ErrTooLarge = errors.New("too large for VDI")

// Options say how a VDI file is laid out. The zero Options are the defaults: a
// dynamic file.
type Options struct {
	// Static asks for a file that holds every block, zero or not.
	Static bool
	// ID is the disk's UUID, in the order of its text form. Zero is one that is
	// derived from the disk: VirtualBox knows no two disks with one UUID.
	ID [16]byte
}

// Write returns the VDI file of a disk: header, block map, then the blocks of
// 1 MiB in the order of the disk, so that reading the file once reads the disk
// once. Blocks that are wholly zero extents are left out. A disk whose size is not
// a multiple of 512 bytes is padded to one with zeros.
//
// The same disk and options give the same file. The map carries 4 bytes for every
// block of the disk.
func Write(disk *extent.Map, opts Options) (*extent.Map, error) {
	if disk.Size() > maxSize {
		return nil, fmt.Errorf("write VDI of a disk of %d bytes: %w: at most %d bytes (32 TiB) fit", disk.Size(), ErrTooLarge, int64(maxSize))
	}
	l := plan(disk, opts)
	var b extent.Builder
	// At once: the block map of a large disk is copied each time there is no room.
	b.Grow(2*disk.Len(), int(headerSize+l.blocks*entrySize+disk.InlineSize()))
	b.Inline(l.header())
	l.writeMap(&b)
	container.AppendGrains(&b, disk, l.data, blockSize)
	file, err := b.Build()
	if err != nil {
		return nil, fmt.Errorf("write VDI of a disk of %d bytes: %w", disk.Size(), err)
	}
	return file, nil
}

// layout is where everything in the file stands, and what its header says.
type layout struct {
	id     [16]byte
	kind   uint32
	size   int64 // bytes of disk, a multiple of sectorSize
	blocks int64 // of the disk
	dataAt int64 // bytes, a multiple of blockSize

	data []container.Run // the blocks that the file holds
}

func plan(disk *extent.Map, opts Options) *layout {
	size := container.AlignUp(disk.Size(), sectorSize)
	l := &layout{
		id:     container.UUID(opts.ID, disk, "VDI"),
		kind:   typeDynamic,
		size:   size,
		blocks: container.DivideUp(size, blockSize),
		data:   container.Runs(disk, blockSize),
	}
	// Aligned, the blocks of a guest are those of its host.
	l.dataAt = container.AlignUp(headerSize+l.blocks*entrySize, blockSize)
	if opts.Static {
		l.kind, l.data = typeStatic, nil
		if l.blocks > 0 {
			l.data = []container.Run{{First: 0, Count: l.blocks}}
		}
	}
	return l
}

func (l *layout) header() []byte {
	le := binary.LittleEndian
	p := make([]byte, headerSize)
	copy(p, headerText)
	le.PutUint32(p[headerSignature:], signature)
	le.PutUint32(p[headerVersion:], version)
	le.PutUint32(p[headerLength:], length)
	le.PutUint32(p[headerType:], l.kind)
	le.PutUint32(p[headerMapOffset:], headerSize)
	le.PutUint32(p[headerDataOffset:], uint32(l.dataAt))
	le.PutUint32(p[headerSector:], sectorSize)
	le.PutUint64(p[headerDiskSize:], uint64(l.size))
	le.PutUint32(p[headerBlockSize:], blockSize)
	le.PutUint32(p[headerBlocks:], uint32(l.blocks))
	le.PutUint32(p[headerAllocated:], uint32(container.Grains(l.data)))
	id := container.MixedEndian(l.id)
	copy(p[headerCreated:], id[:])
	copy(p[headerModified:], id[:])
	return p
}

// writeMap appends the block map.
func (l *layout) writeMap(b *extent.Builder) {
	t := container.NewTable(b, binary.LittleEndian)
	block, next := int64(0), uint32(0)
	for _, run := range l.data {
		for ; block < run.First; block++ {
			t.Uint32(unallocated)
		}
		for ; block < run.End(); block++ {
			t.Uint32(next)
			next++
		}
	}
	for ; block < l.blocks; block++ {
		t.Uint32(unallocated)
	}
	t.Close(l.dataAt)
}
