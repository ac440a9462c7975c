package vmdk

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// reader reads the grains of a sparse extent.
type reader struct {
	file container.File
	header
	grainBytes int64
	diskBytes  int64
	used       container.Ranges
	grains     []grain
}

// grain is a run of the disk that the file holds.
type grain struct {
	guest  int64 // offset on the disk
	host   int64 // offset in the file
	bytes  int64 // on the disk; more than a grain's where neighbours are joined
	stored int   // bytes in the file, where it is compressed; never joined
}

func newReader(f container.File, h header) (*reader, error) {
	r := &reader{
		file:       f,
		header:     h,
		grainBytes: int64(h.grain) * sectorSize,
		diskBytes:  int64(h.capacity) * sectorSize,
	}
	r.used.Add("header", 0, sectorSize)
	if h.descriptor == 0 {
		return r, nil
	}
	return r, r.use("descriptor", h.descriptorAt, int64(h.descriptor)*sectorSize)
}

// use notes that n bytes from a sector on are used, which must lie in the file.
func (r *reader) use(what string, sector uint64, n int64) error {
	if sector > maxCapacity {
		return fmt.Errorf("%w: the %s is at sector %d of a file of %d bytes", container.ErrFormat, what, sector, r.file.Size)
	}
	if err := r.file.Contains(what, sector*sectorSize, n); err != nil {
		return err
	}
	r.used.Add(what, int64(sector)*sectorSize, n)
	return nil
}

// readDirectory reads the grain directory at a sector and its tables.
func (r *reader) readDirectory(at uint64) error {
	n := r.directoryEntries() * entrySize
	if n == 0 {
		return nil
	}
	if err := r.use("grain directory", at, n); err != nil {
		return err
	}
	directory, err := r.file.Bytes("grain directory", at*sectorSize, n)
	if err != nil {
		return err
	}
	tableBytes := int64(r.tableEntries) * entrySize
	for i := range r.directoryEntries() {
		sector := binary.LittleEndian.Uint32(directory[i*entrySize:])
		if sector == 0 {
			continue
		}
		if err := r.use("grain table", uint64(sector), tableBytes); err != nil {
			return fmt.Errorf("entry %d of the grain directory: %w", i, err)
		}
	}
	// Checked before the tables are read, so that no table is read twice.
	if err := r.used.Check(); err != nil {
		return err
	}
	for i := range r.directoryEntries() {
		sector := binary.LittleEndian.Uint32(directory[i*entrySize:])
		if sector == 0 {
			continue
		}
		if err := r.readTable(i, int64(sector)*sectorSize); err != nil {
			return err
		}
	}
	return nil
}

// readTable reads a grain table, of which the directory has the number.
func (r *reader) readTable(number, off int64) error {
	entries := int64(r.tableEntries)
	table, err := r.file.Bytes("grain table", uint64(off), entries*entrySize)
	if err != nil {
		return err
	}
	for i := range entries {
		guest := (number*entries + i) * r.grainBytes
		if guest >= r.diskBytes {
			return nil
		}
		sector := binary.LittleEndian.Uint32(table[i*entrySize:])
		if sector == 0 || sector == zeroGrain && r.flags&flagZeroGrains != 0 {
			continue
		}
		if err := r.addGrain(guest, uint64(sector)); err != nil {
			return fmt.Errorf("grain at %d of the disk: %w", guest, err)
		}
	}
	return nil
}

// addGrain notes the grain that stands at a sector.
func (r *reader) addGrain(guest int64, sector uint64) error {
	held := min(r.grainBytes, r.diskBytes-guest)
	if r.compressed() {
		return r.addPacked(guest, sector)
	}
	if err := r.file.Contains("grain", sector*sectorSize, held); err != nil {
		return err
	}
	r.grains = appendGrain(r.grains, grain{guest: guest, host: int64(sector) * sectorSize, bytes: held})
	return nil
}

// appendGrain appends a grain, joining it to the one it continues.
func appendGrain(grains []grain, g grain) []grain {
	if last := len(grains) - 1; last >= 0 {
		l := &grains[last]
		if l.guest+l.bytes == g.guest && l.host+l.bytes == g.host {
			l.bytes += g.bytes
			return grains
		}
	}
	return append(grains, g)
}

// addPacked notes the compressed grain whose marker stands at a sector.
func (r *reader) addPacked(guest int64, sector uint64) error {
	p, err := r.file.Bytes("marker", sector*sectorSize, grainHeaderSize)
	if err != nil {
		return err
	}
	first, stored := binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint32(p[8:])
	if first != uint64(guest/sectorSize) {
		return fmt.Errorf("%w: its marker says that it belongs to sector %d", container.ErrFormat, first)
	}
	return r.addStored(guest, int64(sector)*sectorSize+grainHeaderSize, stored)
}

// addStored notes a compressed grain of so many bytes at an offset of the file.
// Compression never doubles content.
func (r *reader) addStored(guest, off int64, stored uint32) error {
	if stored == 0 || int64(stored) > 2*r.grainBytes {
		return fmt.Errorf("%w: a grain of %d bytes is compressed to %d", container.ErrFormat, r.grainBytes, stored)
	}
	if err := r.file.Contains("compressed grain", uint64(off), int64(stored)); err != nil {
		return err
	}
	held := min(r.grainBytes, r.diskBytes-guest)
	r.grains = append(r.grains, grain{guest: guest, host: off, bytes: held, stored: int(stored)})
	return nil
}

// disk returns the disk of the grains.
func (r *reader) disk(source extent.Digest) (*container.Disk, error) {
	if err := r.checkPlaces(); err != nil {
		return nil, err
	}
	var units *container.Units
	if r.compressed() {
		units = container.NewUnits(r.file.Reader, r.grainBytes, newInflater(r.grainBytes).decode)
	}
	var b extent.Builder
	for _, g := range r.grains {
		b.ZeroTo(g.guest)
		if g.stored > 0 {
			b.Source(container.Unpacked(source), units.Add(g.host, g.stored, int(g.bytes)), g.bytes)
		} else {
			b.Source(source, g.host, g.bytes)
		}
	}
	b.ZeroTo(r.diskBytes)
	disk, err := b.Build()
	if err != nil {
		return nil, err
	}
	return &container.Disk{Map: disk, Units: units}, nil
}

// checkPlaces sorts the grains as they are on the disk, and refuses files in
// which one place is used twice, on the disk or in the file.
func (r *reader) checkPlaces() error {
	for _, g := range r.grains {
		stored := g.bytes
		if g.stored > 0 {
			stored = int64(g.stored)
		}
		r.used.Add("grain", g.host, stored)
	}
	if err := r.used.Check(); err != nil {
		return err
	}
	slices.SortFunc(r.grains, func(a, b grain) int { return cmp.Compare(a.guest, b.guest) })
	for i := 1; i < len(r.grains); i++ {
		if r.grains[i].guest == r.grains[i-1].guest {
			return fmt.Errorf("%w: two grains for the place at %d of the disk", container.ErrFormat, r.grains[i].guest)
		}
	}
	return nil
}
