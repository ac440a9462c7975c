package vmdk

import (
	"encoding/binary"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// reader reads the grains of a sparse extent.
type reader struct {
	header
	container.Layout
}

// openSparse reads the grains of a sparse extent.
func openSparse(f container.File, h header, source extent.Digest) (*container.Disk, error) {
	r := &reader{header: h, Layout: container.Layout{
		File:  f,
		Size:  int64(h.capacity) * sectorSize,
		Grain: int64(h.grain) * sectorSize,
	}}
	if err := r.readGrains(); err != nil {
		return nil, err
	}
	var decode container.Decode
	if r.compressed() {
		decode = newInflater(r.Grain).decode
	}
	return r.Disk(source, decode)
}

func (r *reader) readGrains() error {
	if err := r.Use("header", 0, sectorSize); err != nil {
		return err
	}
	if r.descriptor > 0 {
		if err := r.Use("descriptor", r.descriptorAt*sectorSize, int64(r.descriptor)*sectorSize); err != nil {
			return err
		}
	}
	if r.directoryAt == directoryAtEnd {
		return r.readStream()
	}
	return r.readDirectory(r.directoryAt)
}

// readDirectory reads the grain directory at a sector and its tables.
func (r *reader) readDirectory(at uint64) error {
	n := r.directoryEntries()
	if n == 0 {
		return nil
	}
	if at > maxCapacity {
		return fmt.Errorf("%w: the grain directory is at sector %d of a file of %d bytes", container.ErrFormat, at, r.File.Size)
	}
	if err := r.Use("grain directory", at*sectorSize, n*entrySize); err != nil {
		return err
	}
	tables := make([]uint32, n)
	err := r.File.Entries("grain directory", at*sectorSize, n, entrySize, func(i int64, entry []byte) error {
		tables[i] = binary.LittleEndian.Uint32(entry)
		if tables[i] == 0 {
			return nil
		}
		return r.Use("grain table", uint64(tables[i])*sectorSize, int64(r.tableEntries)*entrySize)
	})
	if err != nil {
		return err
	}
	if err := r.CheckTables(); err != nil {
		return err
	}
	for i, sector := range tables {
		if sector == 0 {
			continue
		}
		if err := r.readTable(int64(i), uint64(sector)*sectorSize); err != nil {
			return err
		}
	}
	return nil
}

// readTable reads a grain table, of which the directory has the number.
func (r *reader) readTable(number int64, off uint64) error {
	first := number * int64(r.tableEntries)
	n := min(int64(r.tableEntries), container.DivideUp(r.Size, r.Grain)-first)
	return r.File.Entries("grain table", off, n, entrySize, func(i int64, entry []byte) error {
		sector := binary.LittleEndian.Uint32(entry)
		switch {
		case sector == 0, sector == zeroGrain && r.flags&flagZeroGrains != 0:
			return nil
		case r.compressed():
			return r.addMarked(first+i, uint64(sector)*sectorSize)
		}
		return r.Add(first+i, uint64(sector)*sectorSize)
	})
}

// addMarked notes the compressed grain whose marker stands at off.
func (r *reader) addMarked(number int64, off uint64) error {
	p, err := r.File.Bytes("marker", off, grainHeaderSize)
	if err != nil {
		return err
	}
	first, stored := binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint32(p[8:])
	if first != uint64(number)*r.grain {
		return fmt.Errorf("%w: the marker of grain %d says that it belongs to sector %d", container.ErrFormat, number, first)
	}
	return r.AddPacked(number, off+grainHeaderSize, int64(stored))
}
