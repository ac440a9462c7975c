package mbr

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/cloudlets/cloudlets/converter/container"
)

// On-disk values. Positions are in bytes of the block.
const (
	blockSize     = 512
	diskID        = 440
	firstRecord   = 446
	recordSize    = 16
	records       = 4
	signature     = 510
	signatureIs   = 0xaa55
	active        = 0x80
	firstLogical  = 5   // the number of the first logical partition
	maxPartitions = 128 // with the logical ones; Linux takes 256 minors
)

// Types of partitions that mean something here.
const (
	typeExtended      = 0x05
	typeExtendedLBA   = 0x0f
	typeExtendedLinux = 0x85
	// TypeProtective marks a disk with a GUID partition table.
	TypeProtective = 0xee
)

// Table is what a disk says of its partitions.
type Table struct {
	ID         uint32 // the disk's signature
	Partitions []Entry
}

// Entry is a partition. An extended partition, which only holds others, is none.
type Entry struct {
	Number int  // 1 to 4, or from 5 for logical ones
	Type   byte // as in the output of fdisk
	Active bool // what a BIOS boots
	Start  int64
	Size   int64 // bytes, as Start
}

// PartitionID returns what PARTUUID= names a partition by.
func (t *Table) PartitionID(number int) string { return fmt.Sprintf("%08x-%02x", t.ID, number) }

// Read reads the partition table of a disk of size bytes, in the order of the
// numbers. It checks that the partitions lie within the disk and apart from each
// other, and that the chain of logical ones ends. What is wrong wraps
// [container.ErrFormat].
func Read(r io.ReaderAt, size int64) (*Table, error) {
	disk := reader{file: container.File{Reader: r, Size: size}, blocks: size / blockSize}
	t, err := disk.read()
	if err != nil {
		return nil, fmt.Errorf("read MBR of a disk of %d bytes: %w", size, err)
	}
	return t, nil
}

type reader struct {
	file   container.File
	blocks int64
	table  Table
}

// record is an entry of a table, in blocks.
type record struct {
	status, kind byte
	start, count int64
}

func (r record) isExtended() bool {
	return r.kind == typeExtended || r.kind == typeExtendedLBA || r.kind == typeExtendedLinux
}

func (d *reader) read() (*Table, error) {
	b, all, err := d.block(0)
	if err != nil {
		return nil, err
	}
	d.table.ID = binary.LittleEndian.Uint32(b[diskID:])
	var extended *record
	for i, r := range all {
		if r.count == 0 || r.kind == 0 {
			continue
		}
		if r.status&^active != 0 {
			return nil, fmt.Errorf("%w: partition %d has the status %#02x, want 0 or 0x80", container.ErrFormat, i+1, r.status)
		}
		if !r.isExtended() {
			if err := d.add(i+1, r, 0, d.blocks); err != nil {
				return nil, err
			}
			continue
		}
		if extended != nil {
			return nil, fmt.Errorf("%w: partition %d is a second extended partition", container.ErrFormat, i+1)
		}
		extended = &r
		if r.start < 1 || r.count > d.blocks-r.start {
			return nil, fmt.Errorf("%w: the extended partition %d, blocks %d to %d, lies outside the disk of %d", container.ErrFormat, i+1, r.start, r.start+r.count-1, d.blocks)
		}
	}
	if err := checkApart(d.table.Partitions, extended); err != nil {
		return nil, err
	}
	if extended == nil {
		return &d.table, nil
	}
	if err := d.readLogical(*extended); err != nil {
		return nil, err
	}
	return &d.table, checkApart(d.table.Partitions, nil)
}

// block reads the table in a block.
func (d *reader) block(number int64) ([]byte, [records]record, error) {
	var all [records]record
	b, err := d.file.Bytes("partition table", uint64(number)*blockSize, blockSize)
	if err != nil {
		return nil, all, err
	}
	le := binary.LittleEndian
	if got := le.Uint16(b[signature:]); got != signatureIs {
		return nil, all, fmt.Errorf("%w: block %d ends in %#04x, want %#04x", container.ErrFormat, number, got, signatureIs)
	}
	for i := range all {
		e := b[firstRecord+i*recordSize:]
		all[i] = record{status: e[0], kind: e[4], start: int64(le.Uint32(e[8:])), count: int64(le.Uint32(e[12:]))}
	}
	return b, all, nil
}

// add adds a partition whose start is counted from base and which must end at end.
func (d *reader) add(number int, r record, base, end int64) error {
	start := base + r.start
	if r.start < 1 || start >= end || r.count > end-start {
		return fmt.Errorf("%w: partition %d, blocks %d to %d, lies outside of blocks %d to %d", container.ErrFormat, number, start, start+r.count-1, base+1, end-1)
	}
	d.table.Partitions = append(d.table.Partitions, Entry{
		Number: number, Type: r.kind, Active: r.status&active != 0,
		Start: start * blockSize, Size: r.count * blockSize,
	})
	return nil
}

// readLogical follows the chain of tables in an extended partition. A logical
// partition is counted from its own table, the next table from the start of the
// extended partition.
func (d *reader) readLogical(extended record) error {
	end := extended.start + extended.count
	seen := make(map[int64]bool)
	at := extended.start
	for number := firstLogical; ; {
		if seen[at] {
			return fmt.Errorf("%w: the chain of logical partitions leads back to block %d", container.ErrFormat, at)
		}
		if seen[at] = true; len(seen) > maxPartitions {
			return fmt.Errorf("%w: more than %d logical partitions", container.ErrFormat, maxPartitions)
		}
		_, all, err := d.block(at)
		if err != nil {
			return fmt.Errorf("logical partition %d: %w", number, err)
		}
		var next *record
		for _, r := range all {
			switch {
			case r.count == 0 || r.kind == 0:
			case !r.isExtended():
				if err := d.add(number, r, at, end); err != nil {
					return err
				}
				number++
			case next == nil:
				next = &r
			}
		}
		if next == nil {
			return nil
		}
		if at = extended.start + next.start; at >= end {
			return fmt.Errorf("%w: the table of logical partition %d is in block %d, outside the extended partition, which ends before %d", container.ErrFormat, number, at, end)
		}
	}
}

// checkApart refuses partitions that overlap each other or the extended one.
func checkApart(partitions []Entry, extended *record) error {
	sorted := slices.Clone(partitions)
	if extended != nil {
		sorted = append(sorted, Entry{Start: extended.start * blockSize, Size: extended.count * blockSize})
	}
	slices.SortFunc(sorted, func(a, b Entry) int { return cmp.Compare(a.Start, b.Start) })
	for i := 1; i < len(sorted); i++ {
		if a, b := sorted[i-1], sorted[i]; a.Start+a.Size > b.Start {
			return fmt.Errorf("%w: %s and %s overlap", container.ErrFormat, a, b)
		}
	}
	return nil
}

// String returns what a partition is called in messages.
func (e Entry) String() string {
	if e.Number == 0 {
		return "the extended partition"
	}
	return fmt.Sprintf("partition %d", e.Number)
}
