package iso9660

import (
	"bytes"
	"fmt"
	"iter"
	"math"
	"path"
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

// branch is a directory to be read.
type branch struct {
	inode *image.Inode
	path  string
	depth int
	block int64
	size  int64
}

// walk reads all directories below the root.
func (r *reader) walk(tree *image.Tree, root record) error {
	todo := []branch{{inode: tree.Root, path: "/", block: root.block, size: root.size}}
	for len(todo) > 0 {
		b := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		below, err := r.directory(b)
		if err != nil {
			return fmt.Errorf("directory %q: %w", b.path, err)
		}
		todo = append(todo, below...)
	}
	for _, name := range movedDirectories {
		if moved := tree.Root.Lookup(name); moved != nil && r.emptied[moved] {
			tree.Root.Unlink(name)
		}
	}
	return nil
}

// directory reads a directory and returns those in it.
func (r *reader) directory(b branch) ([]branch, error) {
	if r.seen[b.block] {
		return nil, fmt.Errorf("%w: its block %d is that of another directory, or of one it is in", container.ErrFormat, b.block)
	}
	r.seen[b.block] = true
	if b.depth > maxDepth {
		return nil, fmt.Errorf("%w: it is more than %d directories deep", container.ErrFormat, maxDepth)
	}
	d := &directoryReader{reader: r, branch: b}
	for rec, err := range r.records(b.block, b.size) {
		if err != nil {
			return nil, err
		}
		if err := d.add(rec); err != nil {
			return nil, fmt.Errorf("%q: %w", rec.id, err)
		}
	}
	if d.pending != nil {
		return nil, fmt.Errorf("%w: the last section of %q is missing", container.ErrFormat, d.pending.id)
	}
	if d.moved > 0 && len(b.inode.Names()) == 0 {
		r.emptied[b.inode] = true
	}
	return d.below, nil
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
	branch
	below   []branch
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
	return d.link(rec, a, content)
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

// link gives a file its name. content is what it has if it has several sections.
func (d *directoryReader) link(rec record, a attributes, content []extent.Extent) error {
	name, err := d.name(rec, a)
	if err != nil {
		return err
	}
	if d.inode.Lookup(name) != nil {
		return fmt.Errorf("%w: the name %q stands twice", container.ErrFormat, name)
	}
	if d.files++; d.files > image.MaxFiles {
		return fmt.Errorf("%w: more than %d files", container.ErrFormat, image.MaxFiles)
	}
	n, err := newInode(rec, a)
	if err != nil {
		return err
	}
	if n.IsDir() {
		d.inode.Link(name, n)
		return d.descend(rec, a, name, n)
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
	d.inode.Link(name, d.join(n, a))
	return nil
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

// descend notes a directory as one to be read. One that was moved is found by
// its block alone, and says itself how long it is.
func (d *directoryReader) descend(rec record, a attributes, name string, n *image.Inode) error {
	b := branch{inode: n, path: path.Join(d.path, name), depth: d.depth + 1, block: rec.block, size: rec.size}
	if a.child != nil {
		p, err := d.spend("moved directory", d.offset(*a.child), recordNameAt+1)
		if err != nil {
			return err
		}
		self, err := decodeRecord(p)
		if err != nil {
			return err
		}
		b.block, b.size = *a.child, self.size
	}
	d.below = append(d.below, b)
	return nil
}

// name returns the name of a file.
func (d *directoryReader) name(rec record, a attributes) (string, error) {
	var name string
	switch {
	case len(a.name) > 0:
		name = string(a.name)
	case d.names == jolietNames:
		name, _, _ = strings.Cut(decodeUnits(rec.id), ";")
	default:
		name, _, _ = strings.Cut(string(lower(rec.id)), ";")
		name = strings.TrimSuffix(name, separator)
	}
	if name == "" || name == "." || name == ".." || len(name) > maxName || strings.ContainsAny(name, "/\x00") {
		return "", fmt.Errorf("%w: a name of %d bytes, expected 1 to %d, no slash and no zero byte among them, and neither \".\" nor \"..\"",
			container.ErrFormat, len(name), maxName)
	}
	return name, nil
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
