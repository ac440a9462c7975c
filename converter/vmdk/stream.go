package vmdk

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// WriteStored returns the streamOptimized file of a disk whose grains are stored
// as DEFLATE can, without compression. The file refers to the content of the
// disk and is some 0.8 % larger: each grain has a header, a checksum and padding
// to sectors. For the checksums the disk, opened with open, is read once.
//
// The same disk and options give the same file. The map carries about 170 bytes
// for every grain with data, of which it has one in 64 KiB.
func WriteStored(ctx context.Context, disk *extent.Map, open extent.Opener, opts Options) (*extent.Map, error) {
	file, err := writeStored(ctx, disk, open, opts)
	if err != nil {
		return nil, fmt.Errorf("write streamOptimized VMDK of a disk of %d bytes: %w", disk.Size(), err)
	}
	return file, nil
}

// WriteCompressed returns the streamOptimized file of a disk whose grains are
// compressed, on all cores. They are kept in spool; the file's map refers to
// that. The disk is opened with open.
//
// The same disk and options give the same file.
func WriteCompressed(ctx context.Context, disk *extent.Map, open extent.Opener, spool container.Spool, opts Options) (*extent.Map, error) {
	file, err := writeCompressed(ctx, disk, open, spool, opts)
	if err != nil {
		return nil, fmt.Errorf("write compressed streamOptimized VMDK of a disk of %d bytes: %w", disk.Size(), err)
	}
	return file, nil
}

// writeStream writes the file of grains that are in the order of the disk.
// appendGrain appends one: its marker and its content.
func writeStream(disk *extent.Map, opts Options, grains []container.PackedGrain, appendGrain func(*extent.Builder, container.PackedGrain)) (*extent.Map, error) {
	opts, err := opts.withDefaults(disk)
	if err != nil {
		return nil, err
	}
	capacity, err := sectors(disk)
	if err != nil {
		return nil, err
	}
	s := newStream(capacity, opts)
	for _, g := range grains {
		s.beginGrain(g.Number)
		appendGrain(&s.b, g)
		s.pad()
	}
	return s.finish()
}

// stream is a streamOptimized file that is being written: each grain table
// follows its grains, the grain directory and a second header follow all.
type stream struct {
	b      extent.Builder
	header header

	number    int64   // of the grain table that is being filled
	table     []entry // of it
	directory []entry
}

// entry is an entry of a grain table or of the grain directory.
type entry struct {
	index  int64
	sector int64
}

func newStream(capacity int64, opts Options) *stream {
	s := &stream{header: header{
		version:      versionStream,
		flags:        flagLineEnds | flagCompressed | flagMarkers,
		capacity:     uint64(capacity),
		grain:        grainSectors,
		descriptorAt: descriptorAt,
		descriptor:   descriptorSectors,
		tableEntries: tableEntries,
		directoryAt:  directoryAtEnd,
		overhead:     streamOverhead,
		compression:  compressionDeflate,
	}}
	s.b.Inline(s.header.encode())
	s.b.Inline(descriptor(streamOptimized, capacity, fmt.Sprintf("SPARSE %q", opts.Name), opts.Identity))
	s.b.ZeroTo(streamOverhead * sectorSize)
	return s
}

// sector returns the number of the sector that is written next.
func (s *stream) sector() int64 { return s.b.Size() / sectorSize }

// pad fills up the last sector.
func (s *stream) pad() { s.b.ZeroTo(container.AlignUp(s.b.Size(), sectorSize)) }

// beginGrain notes that a grain of the disk is written next.
func (s *stream) beginGrain(number int64) {
	if table := number / tableEntries; table != s.number {
		s.endTable()
		s.number = table
	}
	s.table = append(s.table, entry{index: number % tableEntries, sector: s.sector()})
}

// endTable writes the grain table of the grains since the last one.
func (s *stream) endTable() {
	if len(s.table) == 0 {
		return
	}
	s.appendMarker(markerTable, tableSectors)
	s.directory = append(s.directory, entry{index: s.number, sector: s.sector()})
	s.appendEntries(s.table, tableEntries)
	s.table = s.table[:0]
}

// finish writes all that follows the grains.
func (s *stream) finish() (*extent.Map, error) {
	s.endTable()
	tables := tablesOf(int64(s.header.capacity))
	s.appendMarker(markerDirectory, container.DivideUp(tables*entrySize, sectorSize))
	s.header.directoryAt = uint64(s.sector())
	s.appendEntries(s.directory, tables)
	s.appendMarker(markerFooter, 1)
	s.b.Inline(s.header.encode())
	s.appendMarker(markerEndOfStream, 0)
	if s.sector() > maxSectors {
		return nil, fmt.Errorf("%w: the file would have %d sectors", ErrTooLarge, s.sector())
	}
	return s.b.Build()
}

// appendMarker appends the marker of so many sectors of metadata.
func (s *stream) appendMarker(kind uint32, sectors int64) {
	p := binary.LittleEndian.AppendUint64(nil, uint64(sectors))
	p = binary.LittleEndian.AppendUint32(p, 0)
	s.b.Inline(binary.LittleEndian.AppendUint32(p, kind))
	s.pad()
}

// appendEntries appends a table of n entries, all but the given ones 0.
func (s *stream) appendEntries(entries []entry, n int64) {
	start := s.b.Size()
	w := container.NewTable(&s.b, binary.LittleEndian)
	for _, e := range entries {
		w.SkipTo(start + e.index*entrySize)
		w.Uint32(uint32(e.sector))
	}
	w.Close(start + n*entrySize)
	s.pad()
}
