package iso9660

import (
	"bytes"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Permissions where Rock Ridge does not tell them.
const (
	defaultDirectoryMode = 0o555
	defaultFileMode      = 0o444
)

// movedDirectories are the names of the directory in the root that Rock Ridge
// moves deep ones to: those of genisoimage and xorriso, and hidden.
var movedDirectories = []string{"rr_moved", ".rr_moved"}

// decodeRecord reads a directory record, whose length p has.
func decodeRecord(p []byte) (record, error) {
	if len(p) <= recordNameAt || int(p[recordNameLengthAt]) > len(p)-recordNameAt || p[recordNameLengthAt] == 0 {
		return record{}, fmt.Errorf("%w: a directory record of %d bytes is too short for what it holds", container.ErrFormat, len(p))
	}
	end := recordNameAt + int(p[recordNameLengthAt])
	r := record{
		id:    p[recordNameAt:end],
		block: int64(little.Uint32(p[recordBlockAt:])) + int64(p[recordAttributesAt]),
		size:  int64(little.Uint32(p[recordSizeAt:])),
		date:  p[recordDateAt : recordDateAt+shortDateSize],
		flags: p[recordFlagsAt],
	}
	r.systemUse = p[min(len(p), int(nameEnd(r.id))):]
	if p[recordUnitAt] != 0 || p[recordGapAt] != 0 {
		return record{}, fmt.Errorf("%w: the file %q is interleaved", container.ErrUnsupported, r.id)
	}
	return r, nil
}

// found is a file of which a record was read.
type found struct {
	inode *image.Inode
	block int64 // of a directory
	size  int64 // of a directory
}

// directoryID returns what a directory is called while the tree is read: where it
// stands. Other files have odd numbers.
func directoryID(block int64) uint64 { return uint64(block) << 1 }

// tree reads all directories below the root.
func (r *reader) tree(top *image.Inode, root record) (*image.Tree, error) {
	id := directoryID(root.block)
	r.found[id] = found{inode: top, block: root.block, size: root.size}
	tree, err := container.ReadTree(id, r, &r.memory)
	if err != nil {
		return nil, err
	}
	for _, name := range movedDirectories {
		if moved := tree.Root.Lookup(name); moved != nil && r.emptied[moved] {
			tree.Root.Unlink(name)
		}
	}
	return tree, nil
}

// ReadInode is what container.Inodes asks for: the file is known from its record.
func (r *reader) ReadInode(id uint64) (*image.Inode, error) {
	f := r.found[id]
	if !f.inode.IsDir() {
		delete(r.found, id)
	}
	return f.inode, nil
}

// ReadDirectory is what container.Inodes asks for.
func (r *reader) ReadDirectory(id uint64, link func(name string, id uint64) error) error {
	f := r.found[id]
	delete(r.found, id)
	d := &directoryReader{reader: r, link: link}
	for rec, err := range r.records(f.block, f.size) {
		if err != nil {
			return err
		}
		if err := d.add(rec); err != nil {
			return fmt.Errorf("record %q: %w", rec.id, err)
		}
	}
	if d.pending != nil {
		return fmt.Errorf("%w: the last section of %q is missing", container.ErrFormat, d.pending.id)
	}
	if d.moved > 0 && len(f.inode.Names()) == 0 {
		r.emptied[f.inode] = true
	}
	return nil
}

// records returns the records of a directory. They do not cross sectors, whose
// ends are padded with zeros.
func (r *reader) records(block, size int64) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		if size > maxDirectory {
			yield(record{}, fmt.Errorf("%w: it has %d bytes, expected at most %d", container.ErrFormat, size, maxDirectory))
			return
		}
		for done := int64(0); done < size; done += directoryReadSize {
			n := min(size-done, directoryReadSize)
			p, err := r.spend("directory", r.offset(block)+uint64(done), n)
			if err != nil {
				yield(record{}, err)
				return
			}
			for sector := range slices.Chunk(p, blockSize) {
				if !yieldRecords(sector, yield) {
					return
				}
			}
		}
	}
}

// yieldRecords passes on the records in a sector.
func yieldRecords(p []byte, yield func(record, error) bool) bool {
	for len(p) > 0 && p[0] != 0 {
		length := int(p[recordLengthAt])
		if length > len(p) {
			yield(record{}, fmt.Errorf("%w: a directory record of %d bytes crosses the end of its sector", container.ErrFormat, length))
			return false
		}
		rec, err := decodeRecord(p[:length])
		if !yield(rec, err) || err != nil {
			return false
		}
		p = p[length:]
	}
	return true
}

// directoryReader is a directory being read.
type directoryReader struct {
	*reader
	link    func(name string, id uint64) error
	moved   int // directories in it that have their place elsewhere
	pending *pendingFile
}

// pendingFile is a file whose last section has not come yet.
type pendingFile struct {
	id      []byte
	content []extent.Extent
}

// add adds what a record says.
func (d *directoryReader) add(rec record) error {
	if string(rec.id) == selfName || string(rec.id) == parentName || rec.flags&flagAssociated != 0 {
		return nil
	}
	more, err := d.section(rec)
	if err != nil || more {
		return err
	}
	var content []extent.Extent
	if d.pending != nil {
		content, d.pending = d.pending.content, nil
	}
	a, err := d.attributes(rec)
	if err != nil {
		return err
	}
	if a.relocated {
		d.moved++
		return nil
	}
	return d.file(rec, a, content)
}

// section notes the content of a file that has more than one section. It reports
// whether there are more to come.
func (d *directoryReader) section(rec record) (more bool, err error) {
	more = rec.flags&flagMultiExtent != 0
	if d.pending != nil && !bytes.Equal(d.pending.id, rec.id) {
		return false, fmt.Errorf("%w: the last section of %q is missing", container.ErrFormat, d.pending.id)
	}
	if !more && d.pending == nil {
		return false, nil
	}
	if rec.flags&flagDirectory != 0 {
		return false, fmt.Errorf("%w: a directory with several sections", container.ErrFormat)
	}
	if d.pending == nil {
		d.pending = &pendingFile{id: bytes.Clone(rec.id)}
	}
	d.pending.content, err = d.appendContent(d.pending.content, rec)
	return more, err
}

// file links the file of a record. content is what it has if it has several
// sections.
func (d *directoryReader) file(rec record, a attributes, content []extent.Extent) error {
	n, err := newInode(rec, a)
	if err != nil {
		return err
	}
	name := d.name(rec, a)
	if n.IsDir() {
		return d.directory(rec, a, name, n)
	}
	if n.IsRegular() {
		if content == nil {
			if content, err = d.appendContent(nil, rec); err != nil {
				return err
			}
		}
		n.Content = content
		n.Order = int64(d.offset(rec.block))
	}
	if err := d.memory.Spend(int64(len(n.Target)) + int64(len(n.Content))*container.ExtentMemory); err != nil {
		return err
	}
	return d.link(name, d.identify(n, a))
}

// appendContent appends the content of a section.
func (r *reader) appendContent(content []extent.Extent, rec record) ([]extent.Extent, error) {
	if rec.size == 0 {
		return content, nil
	}
	off := r.offset(rec.block)
	if err := r.file.Contains("content", off, rec.size); err != nil {
		return nil, err
	}
	if last := len(content) - 1; last >= 0 {
		end := content[last].Offset + content[last].Length
		if end == int64(off) && content[last].Length < math.MaxInt64-rec.size {
			content[last].Length += rec.size
			return content, nil
		}
	}
	return append(content, extent.Extent{Kind: extent.Source, Length: rec.size, Digest: r.source, Offset: int64(off)}), nil
}

// directory links a directory. One that was moved is found by its block alone,
// and says itself how long it is.
func (d *directoryReader) directory(rec record, a attributes, name string, n *image.Inode) error {
	f := found{inode: n, block: rec.block, size: rec.size}
	if a.child != nil {
		p, err := d.spend("moved directory", d.offset(*a.child), recordNameAt+1)
		if err != nil {
			return err
		}
		self, err := decodeRecord(p)
		if err != nil {
			return err
		}
		f.block, f.size = *a.child, self.size
	}
	id := directoryID(f.block)
	if _, known := d.found[id]; !known {
		d.found[id] = f
	}
	return d.link(name, id)
}

// name returns the name of a file.
func (d *directoryReader) name(rec record, a attributes) string {
	if len(a.name) > 0 {
		return string(a.name)
	}
	if d.names == jolietNames {
		name, _, _ := strings.Cut(decodeUnits(rec.id), ";")
		return name
	}
	name, _, _ := strings.Cut(string(lower(rec.id)), ";")
	return strings.TrimSuffix(name, separator)
}

// lower returns a name with small letters for capital ones of ASCII. The others
// depend on a character set that nobody tells.
func lower(p []byte) []byte {
	p = bytes.Clone(p)
	for i, c := range p {
		if 'A' <= c && c <= 'Z' {
			p[i] = c - 'A' + 'a'
		}
	}
	return p
}

// decodeUnits returns the name that a Joliet record holds.
func decodeUnits(p []byte) string {
	units := make([]uint16, len(p)/2)
	for i := range units {
		units[i] = big.Uint16(p[2*i:])
	}
	return string(utf16.Decode(units))
}
