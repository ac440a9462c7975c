package container

import (
	"encoding/binary"
	"fmt"

	"github.com/cloudlets/cloudlets/extent"
)

// TwoLevels are the tables of QEMU's older formats. The first level is one table
// with the offsets of the second level's; those have the offsets of the grains,
// both in bytes from the start of the file. An entry of 0 is none.
type TwoLevels struct {
	Order   ByteOrder
	Entries int64 // of a table of the second level, which they fill
	Grain   int64 // bytes
}

// ByteOrder is what both orders of package binary are.
type ByteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

const offsetSize = 8 // bytes

func (t TwoLevels) tableBytes() int64 { return t.Entries * offsetSize }

// Append appends the file of a disk after its header: the first-level table,
// which ends at end, the tables that the disk needs, and the grains with data,
// all in the order of the disk. end and the size of a table are multiples of the
// alignment that the format asks for.
func (t TwoLevels) Append(b *extent.Builder, disk *extent.Map, end int64) {
	runs := Runs(disk, t.Grain)
	tables := t.tables(runs)
	data := AlignUp(end+int64(len(tables))*t.tableBytes(), t.Grain)
	first := NewTable(b, t.Order)
	start := b.Size()
	for i, number := range tables {
		first.SkipTo(start + number*offsetSize)
		first.Uint64(uint64(end + int64(i)*t.tableBytes()))
	}
	first.Close(end)
	t.appendSecond(b, runs, tables, data)
	AppendGrains(b, disk, runs, t.Grain)
}

// tables returns the numbers of the second-level tables that map the grains of
// runs.
func (t TwoLevels) tables(runs []Run) []int64 {
	var tables []int64
	next := int64(0)
	for _, run := range runs {
		for n := max(next, run.First/t.Entries); n <= (run.End()-1)/t.Entries; n++ {
			tables = append(tables, n)
			next = n + 1
		}
	}
	return tables
}

// appendSecond appends the second level up to where the data begins.
func (t TwoLevels) appendSecond(b *extent.Builder, runs []Run, tables []int64, data int64) {
	w := NewTable(b, t.Order)
	start, table, host := b.Size(), 0, data
	for _, run := range runs {
		for grain := run.First; grain < run.End(); grain++ {
			if grain/t.Entries != tables[table] {
				table++
			}
			w.SkipTo(start + int64(table)*t.tableBytes() + grain%t.Entries*offsetSize)
			w.Uint64(uint64(host))
			host += t.Grain
		}
	}
	w.Close(data)
}

// Read reads the tables of a file whose first level stands at off. It calls each
// with the number and the entry of every grain that has one. No table may
// overlap another, and all must start at a multiple of align.
func (t TwoLevels) Read(l *Layout, off uint64, align int64, each func(number int64, entry uint64) error) error {
	grains := DivideUp(l.Size, l.Grain)
	n := DivideUp(grains, t.Entries)
	if n == 0 {
		return nil
	}
	if err := t.use(l, "first-level table", off, n*offsetSize, align); err != nil {
		return err
	}
	type table struct {
		number int64
		off    uint64
	}
	var tables []table
	err := l.File.Entries("first-level table", off, n, offsetSize, func(i int64, entry []byte) error {
		off := t.Order.Uint64(entry)
		if off == 0 {
			return nil
		}
		tables = append(tables, table{i, off})
		return t.use(l, "second-level table", off, t.tableBytes(), align)
	})
	if err != nil {
		return err
	}
	if err := l.CheckTables(); err != nil {
		return err
	}
	for _, table := range tables {
		first := table.number * t.Entries
		if err := t.readSecond(l.File, table.off, first, min(t.Entries, grains-first), each); err != nil {
			return err
		}
	}
	return nil
}

// use notes that a table stands at off.
func (t TwoLevels) use(l *Layout, what string, off uint64, n, align int64) error {
	if off%uint64(align) != 0 {
		return fmt.Errorf("%w: the %s at %d is not at a multiple of %d", ErrFormat, what, off, align)
	}
	return l.Use(what, off, n)
}

// readSecond reads the first n entries of a second-level table. The first is that
// of a grain.
func (t TwoLevels) readSecond(f File, off uint64, grain, n int64, each func(int64, uint64) error) error {
	return f.Entries("second-level table", off, n, offsetSize, func(i int64, entry []byte) error {
		if v := t.Order.Uint64(entry); v != 0 {
			return each(grain+i, v)
		}
		return nil
	})
}
