package iso9660

import (
	"iter"

	"github.com/cloudlets/cloudlets/converter/container"
)

// record is what a directory record says.
type record struct {
	id        []byte
	block     int64
	size      int64
	date      []byte
	flags     byte
	systemUse []byte
}

// recordLength returns the bytes of a record. Both its parts end even.
func recordLength(id, systemUse []byte) int64 {
	return container.AlignUp(nameEnd(id)+int64(len(systemUse)), 2)
}

// nameEnd returns where the system use field of a record starts.
func nameEnd(id []byte) int64 { return container.AlignUp(recordNameAt+int64(len(id)), 2) }

// systemUseRoom returns how many bytes of system use fields fit a record.
func systemUseRoom(id []byte) int { return maxRecord - int(nameEnd(id)) }

// encode returns the record (ECMA-119, 9.1).
func (r record) encode() []byte {
	p := make([]byte, recordLength(r.id, r.systemUse))
	p[recordLengthAt] = byte(len(p))
	putBoth32(p[recordBlockAt:], uint32(r.block))
	putBoth32(p[recordSizeAt:], uint32(r.size))
	copy(p[recordDateAt:], r.date)
	p[recordFlagsAt] = r.flags
	putBoth16(p[recordSequenceAt:], 1)
	p[recordNameLengthAt] = byte(len(r.id))
	copy(p[recordNameAt:], r.id)
	copy(p[nameEnd(r.id):], r.systemUse)
	return p
}

// record returns the record of a directory under an identifier.
func (d *directory) record(id, systemUse []byte) record {
	return record{
		id: id, block: d.first, size: d.size, date: shortDate(d.file.ModTime),
		flags: flagDirectory, systemUse: systemUse,
	}
}

// records returns the records of an entry: of a file with more content than a
// section holds several, one after another.
func (e *entry) records() iter.Seq[record] {
	return func(yield func(record) bool) {
		if e.dir != nil {
			yield(e.dir.record(e.id, e.systemUse))
			return
		}
		r := record{id: e.id, block: e.file.first, date: shortDate(e.file.ModTime), systemUse: e.systemUse}
		left := int64(0)
		if e.file.IsRegular() {
			left = e.file.Bytes // those of a symbolic link are in the record
		}
		for ; ; left -= maxSection {
			r.size = min(left, maxSection)
			r.flags = 0
			if left > maxSection {
				r.flags = flagMultiExtent
			}
			if !yield(r) || left <= maxSection {
				return
			}
			r.block += maxSection / blockSize
		}
	}
}

// records returns all records of a directory: itself, its parent, the entries.
func (d *directory) records() iter.Seq[record] {
	return func(yield func(record) bool) {
		if !yield(d.record([]byte(selfName), d.self)) || !yield(d.parent.record([]byte(parentName), d.up)) {
			return
		}
		for i := range d.entries {
			for r := range d.entries[i].records() {
				if !yield(r) {
					return
				}
			}
		}
	}
}

// recordsSize returns how many bytes a directory takes, in whole blocks, which
// records do not cross. It is known before anything is placed.
func (d *directory) recordsSize() (size int64) {
	for r := range d.records() {
		length := recordLength(r.id, r.systemUse)
		if left := blockSize - size%blockSize; length > left {
			size += left
		}
		size += length
	}
	return container.AlignUp(size, blockSize)
}

// encode returns the blocks of a directory, without the zeros that end the last.
func (d *directory) encode() []byte {
	p := make([]byte, 0, d.size)
	for r := range d.records() {
		encoded := r.encode()
		if left := blockSize - len(p)%blockSize; len(encoded) > left {
			p = append(p, make([]byte, left)...)
		}
		p = append(p, encoded...)
	}
	return p
}
