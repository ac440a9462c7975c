package iso9660

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/inventory"
	"github.com/cloudlets/cloudlets/extent"
)

// hierarchy is the directories of a volume under one naming. A volume with
// Joliet has two, over the same files.
type hierarchy struct {
	naming naming
	dirs   []*directory // in the order of path tables, the root first

	tableSize      int64 // bytes of a path table
	tableL, tableM int64 // blocks where the path tables stand, one for each byte order
}

// directory is one directory of a hierarchy.
type directory struct {
	file    *file
	id      []byte // in its parent
	number  int    // in the path tables, from 1
	parent  *directory
	entries []entry // sorted by identifier

	self, up []byte       // the system use fields of "." and ".."
	areas    continuation // where such fields go on, after the directory

	first int64 // block
	size  int64 // bytes, whole blocks
}

// entry is a name in a directory.
type entry struct {
	name      string // in the tree
	key       []byte // sorts
	id        []byte
	file      *file
	dir       *directory // nil for other files
	systemUse []byte
}

// newHierarchy names all files. Directories come level by level, in the order of
// the directories they are in (ECMA-119, 6.9.1).
func newHierarchy(f *files, n naming) (*hierarchy, error) {
	top := &directory{file: f.all[0], id: []byte(selfName), number: 1}
	top.parent = top
	h := &hierarchy{naming: n, dirs: []*directory{top}}
	for i := 0; i < len(h.dirs); i++ {
		dir := h.dirs[i]
		dir.fill(f, n)
		for _, e := range dir.entries {
			if e.dir != nil {
				h.dirs = append(h.dirs, e.dir)
				e.dir.number = len(h.dirs)
			}
		}
	}
	for _, dir := range h.dirs {
		if dir.parent.number > maxPathParent {
			return nil, fmt.Errorf("%w: the path tables have room for %d directories with others in them, the tree has more", inventory.ErrTree, maxPathParent)
		}
		h.tableSize += pathRecordLength(dir.id)
	}
	return h, nil
}

// fill lists what is in a directory.
func (d *directory) fill(f *files, n naming) {
	held := slices.DeleteFunc(slices.Clone(d.file.Entries), func(e inventory.Entry) bool { return !n.holds(e.File.Inode) })
	for i, id := range n.identifiers(held) {
		e := entry{name: held[i].Name, key: n.encode(id), file: f.all[held[i].File.Number]}
		if e.file.IsDir() {
			e.id = bytes.TrimSuffix(e.key, []byte(separator))
			e.dir = &directory{file: e.file, id: e.id, parent: d}
		} else {
			e.id = slices.Concat(e.key, n.version)
		}
		d.entries = append(d.entries, e)
	}
	slices.SortFunc(d.entries, func(a, b entry) int { return bytes.Compare(a.key, b.key) })
}

// placeTables gives the path tables their blocks and returns the one after them.
func (h *hierarchy) placeTables(next int64) int64 {
	h.tableL = next
	h.tableM = next + blocksOf(h.tableSize)
	return h.tableM + blocksOf(h.tableSize)
}

// place gives each directory its blocks and returns the one after them. Right
// behind a directory stand its continuation areas, where libarchive looks for
// them; so the fields are made twice, the first time for their lengths alone.
func (h *hierarchy) place(next int64) (int64, error) {
	for _, dir := range h.dirs {
		if h.naming.rockRidge {
			dir.addRockRidge(0)
		}
		dir.size = dir.recordsSize()
		if dir.size > maxSection {
			return 0, fmt.Errorf("%w: a directory with %d names takes %d bytes, expected at most %d", inventory.ErrTree, len(dir.entries), dir.size, int64(maxSection))
		}
		dir.first = next
		next += blocksOf(dir.size)
		if h.naming.rockRidge {
			dir.addRockRidge(next)
		}
		next += blocksOf(int64(len(dir.areas.data)))
	}
	return next, nil
}

// emitTables appends the path tables.
func (h *hierarchy) emitTables(b *extent.Builder) {
	for _, order := range []byteOrder{little, big} {
		var table []byte
		for _, dir := range h.dirs {
			table = appendPathRecord(table, order, dir)
		}
		b.Inline(table)
		b.ZeroTo(container.AlignUp(b.Size(), blockSize))
	}
}

// emit appends the directories and their continuation areas.
func (h *hierarchy) emit(b *extent.Builder) {
	for _, dir := range h.dirs {
		b.Inline(dir.encode())
		b.ZeroTo(dir.first*blockSize + dir.size)
		b.Inline(dir.areas.data)
		b.ZeroTo(container.AlignUp(b.Size(), blockSize))
	}
}
