package erofs

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/converter/inventory"
	"github.com/cloudlets/cloudlets/image"
)

// fileTypes are the types of files in directories.
var fileTypes = [...]uint32{
	1: image.TypeRegular,
	2: image.TypeDir,
	3: image.TypeChar,
	4: image.TypeBlock,
	5: image.TypeFIFO,
	6: image.TypeSocket,
	7: image.TypeSymlink,
}

// dirEntries returns what is in a directory, "." and ".." too, as it is sorted.
func dirEntries(d *inventory.File) []inventory.Entry {
	entries := append([]inventory.Entry{{Name: ".", File: d}, {Name: "..", File: d.Parent}}, d.Entries...)
	slices.SortFunc(entries, func(a, b inventory.Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries
}

// blockEntries returns how many of the entries fit in one block, and how many
// bytes they take in it.
func blockEntries(entries []inventory.Entry) (n, size int) {
	for n < len(entries) {
		more := direntSize + len(entries[n].Name)
		if size+more > blockSize {
			break
		}
		size += more
		n++
	}
	return n, size
}

// dirSize returns how many bytes a directory takes: whole blocks, and of the
// last one those in use.
func dirSize(d *inventory.File) int64 {
	var size int64
	for entries := dirEntries(d); ; {
		n, used := blockEntries(entries)
		if entries = entries[n:]; len(entries) == 0 {
			return size + int64(used)
		}
		size += blockSize
	}
}

// encodeDir encodes a directory, given where all inodes are.
func (p *plan) encodeDir(d *inventory.File) []byte {
	le := binary.LittleEndian
	var dir []byte
	for entries := dirEntries(d); len(entries) > 0; {
		n, used := blockEntries(entries)
		block := make([]byte, 0, blockSize)
		name := n * direntSize
		for _, e := range entries[:n] {
			block = le.AppendUint64(block, p.nodes[e.File.Number].number())
			block = le.AppendUint16(block, uint16(name))
			block = append(block, uint8(slices.Index(fileTypes[:], e.File.Type())), 0)
			name += len(e.Name)
		}
		for _, e := range entries[:n] {
			block = append(block, e.Name...)
		}
		if entries = entries[n:]; len(entries) > 0 {
			block = append(block, make([]byte, blockSize-used)...)
		}
		dir = append(dir, block...)
	}
	return dir
}
