package gpt

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"unicode/utf16"

	"github.com/cloudlets/cloudlets/extent"
)

// Plan returns the disk that l describes. The partitions' maps are referenced,
// not copied. The same layout gives the same disk.
func Plan(l Layout) (*extent.Map, error) {
	m, err := plan(l)
	if err != nil {
		return nil, fmt.Errorf("plan GPT disk: %w", err)
	}
	return m, nil
}

func plan(l Layout) (*extent.Map, error) {
	spans, size, err := l.place()
	if err != nil {
		return nil, err
	}
	if err := l.checkNames(); err != nil {
		return nil, err
	}
	entries := encodeEntries(l.Partitions, spans)
	last := size/blockSize - 1
	primary := header{disk: l.ID, my: headerBlock, other: last, entries: entriesBlock}
	backup := header{disk: l.ID, my: last, other: headerBlock, entries: last - entriesBlocks}

	var b extent.Builder
	b.Inline(encodeMBR(l.BootCode, last))
	b.Inline(primary.encode(last, entries))
	writeEntries(&b, entries)
	for i, span := range spans {
		b.ZeroTo(span.Offset)
		if m := l.Partitions[i].Map; m != nil {
			b.Map(m)
		}
		b.ZeroTo(span.End())
	}
	b.ZeroTo(backup.entries * blockSize)
	writeEntries(&b, entries)
	b.Inline(backup.encode(last, entries))
	return b.Build()
}

// writeEntries appends the blocks of the entries; unused ones as zeros.
func writeEntries(b *extent.Builder, entries []byte) {
	b.Inline(entries)
	b.Zero(entryCount*entrySize - int64(len(entries)))
}

// encodeMBR returns block 0: a protective MBR whose one partition, of type GPT,
// keeps old tools off the disk. last is the disk's last block.
func encodeMBR(bootCode []byte, last int64) []byte {
	mbr := make([]byte, blockSize)
	copy(mbr, bootCode)
	record := mbr[mbrPartition:]
	record[0] = 0x00                            // not active: a UEFI system must ignore the partition
	copy(record[1:4], []byte{0x00, 0x02, 0x00}) // first block as cylinder, head, sector: block 1
	record[4] = mbrTypeGPT
	copy(record[5:8], []byte{0xff, 0xff, 0xff})                                 // last block: not representable
	binary.LittleEndian.PutUint32(record[8:], 1)                                // first block
	binary.LittleEndian.PutUint32(record[12:], uint32(min(last, maxMBRBlocks))) // blocks
	mbr[mbrSignature], mbr[mbrSignature+1] = 0x55, 0xaa
	return mbr
}

// header is what differs between the primary header and the backup. The numbers
// are block addresses.
type header struct {
	disk    GUID
	my      int64 // of the header itself
	other   int64 // of the other header
	entries int64
}

// encode returns the header's block. last is the disk's last block, entries the
// used entries; what follows them in the table is zeros.
func (h header) encode(last int64, entries []byte) []byte {
	le := binary.LittleEndian
	p := make([]byte, blockSize)
	copy(p, signature)
	le.PutUint32(p[8:], revision)
	le.PutUint32(p[12:], headerSize)
	le.PutUint64(p[24:], uint64(h.my))
	le.PutUint64(p[32:], uint64(h.other))
	le.PutUint64(p[40:], firstUsable)
	le.PutUint64(p[48:], uint64(last-tableBlocks))
	disk := h.disk.disk()
	copy(p[56:], disk[:])
	le.PutUint64(p[72:], uint64(h.entries))
	le.PutUint32(p[80:], entryCount)
	le.PutUint32(p[84:], entrySize)
	table := make([]byte, entryCount*entrySize)
	copy(table, entries)
	le.PutUint32(p[88:], crc32.ChecksumIEEE(table))
	// The header's own checksum is taken with its field zero.
	le.PutUint32(p[16:], crc32.ChecksumIEEE(p[:headerSize]))
	return p
}

// encodeEntries returns the entries of the partitions.
func encodeEntries(partitions []Partition, spans []Span) []byte {
	le := binary.LittleEndian
	table := make([]byte, len(partitions)*entrySize)
	for i, p := range partitions {
		e := table[i*entrySize : (i+1)*entrySize]
		kind, id := p.Type.disk(), p.ID.disk()
		copy(e[0:], kind[:])
		copy(e[16:], id[:])
		le.PutUint64(e[32:], uint64(spans[i].FirstBlock()))
		le.PutUint64(e[40:], uint64(spans[i].End()/blockSize-1)) // the last block, inclusive
		le.PutUint64(e[48:], uint64(p.Attributes))
		for j, unit := range utf16.Encode([]rune(p.Name)) {
			le.PutUint16(e[nameOffset+2*j:], unit)
		}
	}
	return table
}
