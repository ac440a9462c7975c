package vmdk

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// ErrTooLarge is wrapped when a disk, or the file that holds it, would be larger
// than the 2 TiB that the format's 32-bit sector numbers reach.
var ErrTooLarge = errors.New("too large for VMDK: more than 2 TiB")

// Write returns the monolithicSparse file of a disk: header, descriptor, both
// grain directories with all their tables, then the grains with data in the
// order of the disk. Grains that are wholly zero extents are left out. A disk
// whose size is not a multiple of 512 bytes is padded to one with zeros.
//
// The same disk and options give the same file. The map carries about 8 bytes
// for every grain with data and 8 for every 32 MiB of the disk.
func Write(disk *extent.Map, opts Options) (*extent.Map, error) {
	file, err := writeSparse(disk, opts)
	if err != nil {
		return nil, fmt.Errorf("write VMDK of a disk of %d bytes: %w", disk.Size(), err)
	}
	return file, nil
}

func writeSparse(disk *extent.Map, opts Options) (*extent.Map, error) {
	opts, err := opts.withDefaults(disk)
	if err != nil {
		return nil, err
	}
	l, err := plan(disk)
	if err != nil {
		return nil, err
	}
	var b extent.Builder
	b.Inline(l.header().encode())
	b.Inline(descriptor(monolithicSparse, l.capacity, fmt.Sprintf("SPARSE %q", opts.Name), opts.Identity))
	b.ZeroTo(l.redundantAt() * sectorSize)
	l.writeTables(&b, l.redundantAt())
	l.writeTables(&b, l.directoryAt())
	b.ZeroTo(l.overhead() * sectorSize)
	container.AppendGrains(&b, disk, l.data, grainSize)
	return b.Build()
}

// layout is where everything in a monolithicSparse file stands, in sectors: the
// header, the descriptor, the redundant grain directory and its tables, the
// primary ones, the grains.
type layout struct {
	capacity int64
	tables   int64 // how many grain tables a grain directory has
	data     []container.Run
}

func plan(disk *extent.Map) (*layout, error) {
	capacity, err := sectors(disk)
	if err != nil {
		return nil, err
	}
	l := &layout{
		capacity: capacity,
		tables:   tablesOf(capacity),
		data:     container.Runs(disk, grainSize),
	}
	if end := l.overhead() + container.Grains(l.data)*grainSectors; end > maxSectors {
		return nil, fmt.Errorf("%w: the file would have %d sectors", ErrTooLarge, end)
	}
	return l, nil
}

// sectors returns the size of a disk in sectors, the last one padded.
func sectors(disk *extent.Map) (int64, error) {
	n := container.DivideUp(disk.Size(), sectorSize)
	if n > maxSectors {
		return 0, fmt.Errorf("%w: choose VHDX or qcow2, or a smaller disk", ErrTooLarge)
	}
	return n, nil
}

// tablesOf returns how many grain tables map so many sectors.
func tablesOf(capacity int64) int64 {
	return container.DivideUp(capacity, grainSectors*tableEntries)
}

func (l *layout) directorySectors() int64 {
	return container.DivideUp(l.tables*entrySize, sectorSize)
}
func (l *layout) redundantAt() int64 { return descriptorAt + descriptorSectors }
func (l *layout) directoryAt() int64 {
	return l.redundantAt() + l.directorySectors() + l.tables*tableSectors
}
func (l *layout) overhead() int64 {
	end := l.directoryAt() + l.directorySectors() + l.tables*tableSectors
	return container.AlignUp(end, grainSectors)
}

func (l *layout) header() header {
	return header{
		version:      versionSparse,
		flags:        flagLineEnds | flagRedundant,
		capacity:     uint64(l.capacity),
		grain:        grainSectors,
		descriptorAt: descriptorAt,
		descriptor:   descriptorSectors,
		tableEntries: tableEntries,
		redundantAt:  uint64(l.redundantAt()),
		directoryAt:  uint64(l.directoryAt()),
		overhead:     uint64(l.overhead()),
	}
}

// writeTables appends a grain directory that stands at a sector, and its grain
// tables. Those all exist, because writers do not add any; they follow each
// other, so the entry of a grain is found by its number.
func (l *layout) writeTables(b *extent.Builder, at int64) {
	w := container.NewTable(b, binary.LittleEndian)
	tables := at + l.directorySectors()
	for i := range l.tables {
		w.Uint32(uint32(tables + i*tableSectors))
	}
	next := l.overhead()
	for _, run := range l.data {
		w.SkipTo(tables*sectorSize + run.First*entrySize)
		for range run.Count {
			w.Uint32(uint32(next))
			next += grainSectors
		}
	}
	w.Close((tables + l.tables*tableSectors) * sectorSize)
}
