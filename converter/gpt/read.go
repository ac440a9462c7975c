package gpt

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"unicode/utf16"

	"github.com/cloudlets/cloudlets/converter/container"
)

// ErrFormat is wrapped by Read when the bytes are not a disk with a sound GUID
// partition table.
var ErrFormat = errors.New("not a sound GPT disk")

// maxTableSize bounds the partition entries of a disk that is read, in bytes: 64
// times what the specification requires.
const maxTableSize = 1 << 20

// Table is what a disk says of its partitions.
type Table struct {
	ID         GUID // the disk's
	Partitions []Entry
}

// Entry is a partition of a disk.
type Entry struct {
	Number     int // from 1, as in /dev/sda1; numbers may be missing
	Type, ID   GUID
	Name       string // what is not UTF-16 reads as U+FFFD
	Attributes Attributes
	Span       Span
}

// Read reads the partition table of a disk of size bytes, in the order of the
// table. It checks the protective MBR, the primary header and both checksums,
// and that the partitions lie within the disk and apart from each other. The
// backup is not read: on a disk that was made larger it stands elsewhere.
//
// What is wrong wraps [ErrFormat].
func Read(r io.ReaderAt, size int64) (*Table, error) {
	t, err := read(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, fmt.Errorf("read GPT of a disk of %d bytes: %w", size, err)
	}
	return t, nil
}

func read(disk *io.SectionReader) (*Table, error) {
	if disk.Size() < (entriesBlock+1)*blockSize {
		return nil, fmt.Errorf("%w: it has no room for a table", ErrFormat)
	}
	head := make([]byte, entriesBlock*blockSize)
	if err := readAt(disk, head, 0); err != nil {
		return nil, err
	}
	if err := checkMBR(head[:blockSize]); err != nil {
		return nil, err
	}
	h, err := decodeHeader(head[blockSize:], disk.Size()/blockSize)
	if err != nil {
		return nil, err
	}
	entries := make([]byte, h.count*h.entrySize)
	if err := readAt(disk, entries, h.entries*blockSize); err != nil {
		return nil, err
	}
	if got := crc32.ChecksumIEEE(entries); got != h.entriesCRC {
		return nil, fmt.Errorf("%w: the partition entries have the CRC-32 %08x, their header says %08x", ErrFormat, got, h.entriesCRC)
	}
	t := &Table{ID: h.disk}
	for i := range h.count {
		e := entries[i*h.entrySize:]
		if guidFromDisk(e).IsZero() {
			continue
		}
		partition, err := h.decodeEntry(e)
		if err != nil {
			return nil, fmt.Errorf("partition %d: %w", i+1, err)
		}
		partition.Number = int(i) + 1
		t.Partitions = append(t.Partitions, partition)
	}
	if err := checkApart(t.Partitions); err != nil {
		return nil, err
	}
	return t, nil
}

func readAt(disk *io.SectionReader, p []byte, off int64) error {
	n, err := disk.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", ErrFormat, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("read %d bytes at %d: %w", len(p), off, err)
}

// checkMBR asks for a protective MBR: without one, other readers do not see a
// GUID partition table on the disk.
func checkMBR(mbr []byte) error {
	if got := binary.LittleEndian.Uint16(mbr[mbrSignature:]); got != 0xaa55 {
		return fmt.Errorf("%w: block 0 ends in %#04x, want 0xaa55", ErrFormat, got)
	}
	if got := mbr[mbrPartition+4]; got != mbrTypeGPT {
		return fmt.Errorf("%w: the first partition of the MBR is of type %#02x, want a protective MBR with %#02x", ErrFormat, got, mbrTypeGPT)
	}
	return nil
}

// foreignHeader is a header that was read and checked. Its numbers are block
// addresses unless they say otherwise.
type foreignHeader struct {
	disk                    GUID
	firstUsable, lastUsable int64
	entries                 int64
	count                   int64 // entries
	entrySize               int64 // bytes
	entriesCRC              uint32
}

// decodeHeader checks the primary header of a disk of that many blocks.
func decodeHeader(p []byte, blocks int64) (*foreignHeader, error) {
	le := binary.LittleEndian
	if string(p[:8]) != signature {
		return nil, fmt.Errorf("%w: block 1 starts with %q, want %q", ErrFormat, p[:8], signature)
	}
	if got := le.Uint32(p[8:]); got>>16 != revision>>16 {
		return nil, fmt.Errorf("%w: revision %#08x, want %#08x", ErrFormat, got, revision)
	}
	size := le.Uint32(p[12:])
	if size < headerSize || size > blockSize {
		return nil, fmt.Errorf("%w: a header of %d bytes, want %d to %d", ErrFormat, size, headerSize, blockSize)
	}
	if got, want := headerCRC(p[:size]), le.Uint32(p[16:]); got != want {
		return nil, fmt.Errorf("%w: the header has the CRC-32 %08x, but says %08x", ErrFormat, got, want)
	}
	if got := le.Uint64(p[24:]); got != headerBlock {
		return nil, fmt.Errorf("%w: the header in block 1 says it is in block %d", ErrFormat, got)
	}
	h := &foreignHeader{
		disk:        guidFromDisk(p[56:]),
		firstUsable: int64(le.Uint64(p[40:])),
		lastUsable:  int64(le.Uint64(p[48:])),
		entries:     int64(le.Uint64(p[72:])),
		count:       int64(le.Uint32(p[80:])),
		entrySize:   int64(le.Uint32(p[84:])),
		entriesCRC:  le.Uint32(p[88:]),
	}
	if err := h.check(blocks); err != nil {
		return nil, err
	}
	return h, nil
}

// headerCRC returns the checksum of a header, taken with its own field zero.
func headerCRC(header []byte) uint32 {
	header = slices.Clone(header)
	clear(header[16:20])
	return crc32.ChecksumIEEE(header)
}

// check checks the bounds. Addresses of 2^63 and more are negative here.
func (h *foreignHeader) check(blocks int64) error {
	if h.entrySize < entrySize || h.entrySize&(h.entrySize-1) != 0 {
		return fmt.Errorf("%w: partition entries of %d bytes, want a power of two from %d", ErrFormat, h.entrySize, entrySize)
	}
	if h.entrySize > maxTableSize || h.count > maxTableSize/h.entrySize {
		return fmt.Errorf("%w: %d partition entries of %d bytes, want at most %d bytes together", ErrFormat, h.count, h.entrySize, maxTableSize)
	}
	tableEnd := h.entries + container.DivideUp(h.count*h.entrySize, blockSize)
	if h.entries < entriesBlock || h.entries >= blocks || tableEnd > blocks {
		return fmt.Errorf("%w: the partition entries at block %d lie outside the disk of %d blocks", ErrFormat, h.entries, blocks)
	}
	if h.firstUsable < entriesBlock || h.lastUsable < h.firstUsable-1 || h.lastUsable >= blocks {
		return fmt.Errorf("%w: the usable blocks %d to %d do not lie within the disk of %d", ErrFormat, h.firstUsable, h.lastUsable, blocks)
	}
	if tableEnd > h.firstUsable && h.entries <= h.lastUsable {
		return fmt.Errorf("%w: the partition entries at block %d lie among the usable blocks %d to %d", ErrFormat, h.entries, h.firstUsable, h.lastUsable)
	}
	return nil
}

func (h *foreignHeader) decodeEntry(e []byte) (Entry, error) {
	le := binary.LittleEndian
	first, last := int64(le.Uint64(e[32:])), int64(le.Uint64(e[40:]))
	if first < h.firstUsable || last < first || last > h.lastUsable {
		return Entry{}, fmt.Errorf("%w: blocks %d to %d, want blocks within %d to %d", ErrFormat, first, last, h.firstUsable, h.lastUsable)
	}
	return Entry{
		Type:       guidFromDisk(e[0:]),
		ID:         guidFromDisk(e[16:]),
		Name:       decodeName(e[nameOffset : nameOffset+2*maxNameUnits]),
		Attributes: Attributes(le.Uint64(e[48:])),
		Span:       Span{Offset: first * blockSize, Length: (last - first + 1) * blockSize},
	}, nil
}

func decodeName(p []byte) string {
	var units []uint16
	for ; len(p) > 0; p = p[2:] {
		unit := binary.LittleEndian.Uint16(p)
		if unit == 0 {
			break
		}
		units = append(units, unit)
	}
	return string(utf16.Decode(units))
}

// checkApart refuses partitions that overlap.
func checkApart(partitions []Entry) error {
	sorted := slices.SortedFunc(slices.Values(partitions), func(a, b Entry) int {
		return cmp.Compare(a.Span.Offset, b.Span.Offset)
	})
	for i := 1; i < len(sorted); i++ {
		if a, b := sorted[i-1], sorted[i]; a.Span.End() > b.Span.Offset {
			return fmt.Errorf("%w: partitions %d and %d overlap", ErrFormat, a.Number, b.Number)
		}
	}
	return nil
}
