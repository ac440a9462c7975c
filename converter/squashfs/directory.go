package squashfs

import (
	"encoding/binary"

	"github.com/cloudlets/cloudlets/converter/inventory"
)

// dirIndex says which run of a long listing starts with which name.
type dirIndex struct {
	offset uint32 // in the listing
	block  uint32 // of the directory table
	name   string
}

// listing is a directory as it stands in the directory table.
type listing struct {
	start   reference
	size    int64
	indexes []dirIndex // one for every metadata block it goes on in
}

// writeListing writes the entries of a directory, whose inodes were written.
func (p *plan) writeListing(d *inventory.File) listing {
	l := listing{start: p.dirs.position()}
	block := l.start.block()
	for entries := d.Entries; len(entries) > 0; {
		n := p.runLength(entries)
		if at := p.dirs.position(); at.block() != block && len(l.indexes) < maxDirIndexes {
			block = at.block()
			l.indexes = append(l.indexes, dirIndex{uint32(l.size), uint32(block), entries[0].Name})
		}
		run := p.encodeRun(entries[:n])
		p.dirs.write(run)
		l.size += int64(len(run))
		entries = entries[n:]
	}
	return l
}

// runLength returns how many entries share a header with the first one: those
// whose inodes are in the same metadata block and have numbers near its own, as
// long as they fill no more than a metadata block, so that an index can skip
// them.
func (p *plan) runLength(entries []inventory.Entry) int {
	first := entries[0].File.Number
	block := p.refs[first].block()
	size := dirHeaderSize
	for i, e := range entries {
		size += dirEntrySize + len(e.Name)
		delta := e.File.Number - first
		if i == maxRunEntries || p.refs[e.File.Number].block() != block || delta < -maxRunDelta || delta > maxRunDelta || size > metadataSize {
			return i
		}
	}
	return len(entries)
}

// encodeRun encodes entries and their header.
func (p *plan) encodeRun(entries []inventory.Entry) []byte {
	le := binary.LittleEndian
	first := entries[0].File.Number
	run := le.AppendUint32(p.scratch[:0], uint32(len(entries)-1))
	run = le.AppendUint32(run, uint32(p.refs[first].block()))
	run = le.AppendUint32(run, inodeNumber(entries[0].File))
	for _, e := range entries {
		run = le.AppendUint16(run, p.refs[e.File.Number].offset())
		run = le.AppendUint16(run, uint16(int16(e.File.Number-first)))
		run = le.AppendUint16(run, basicType(e.File))
		run = le.AppendUint16(run, uint16(len(e.Name)-1))
		run = append(run, e.Name...)
	}
	p.scratch = run
	return run
}
