package ext4

import (
	"fmt"
	"io"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Open returns the files of an ext2, ext3 or ext4 filesystem, whose content is
// extents of the filesystem's own bytes: r reads them, size is their number, and
// source is the digest by which the extents name them. Content kept in an inode
// is inline, holes and unwritten extents are zero extents. An empty /lost+found,
// which a filesystem has by itself, is left out.
//
// A journal that was not played back, because the machine was not shut down, is
// read as if it had been. Checksums of metadata are verified where there are any.
// A block that belongs to two files, a directory with two names or one deeper
// than 2048 is refused with [container.ErrFormat], as is all else that is unsound; encrypted,
// case-insensitive and fs-verity files, and attributes that have inodes of their
// own, with [container.ErrUnsupported]. The message names the file and the inode.
//
// Blocks of 1 to 64 KiB are read. Memory is bounded by what the filesystem really
// holds, some hundred bytes an inode, an entry of a directory and an extent, and by
// [container.MaxTree].
func Open(r io.ReaderAt, size int64, source extent.Digest) (*image.Tree, error) {
	tree, err := open(newReader(r, size, source))
	if err != nil {
		return nil, fmt.Errorf("open ext4 filesystem of %d bytes: %w", size, err)
	}
	return tree, nil
}

func open(r *reader) (*image.Tree, error) {
	if err := r.readSuperblock(); err != nil {
		return nil, err
	}
	if err := r.replayJournal(); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	w := &treeReader{reader: r, files: make(map[uint32]*image.Inode)}
	tree, err := w.tree()
	if err != nil {
		return nil, err
	}
	if err := r.checkOverlaps(); err != nil {
		return nil, err
	}
	return tree, nil
}

// treeReader makes a tree of the files of a filesystem.
type treeReader struct {
	*reader
	files map[uint32]*image.Inode // that were read, by number
}

func (w *treeReader) tree() (*image.Tree, error) {
	root, n, err := w.file(rootIno)
	if err == nil && !root.IsDir() {
		err = fmt.Errorf("%w: inode %d is not a directory", container.ErrFormat, rootIno)
	}
	if err != nil {
		return nil, fmt.Errorf("root directory: %w", err)
	}
	root.Links = 1
	if err := w.fill(root, n, "", 1); err != nil {
		return nil, err
	}
	lost := root.Lookup(lostAndFoundName)
	if lost != nil && lost.IsDir() && len(lost.Names()) == 0 {
		root.Unlink(lostAndFoundName)
	}
	tree := &image.Tree{Root: root}
	tree.Sort()
	return tree, nil
}

// fill reads the entries of a directory and all that is below it.
func (w *treeReader) fill(dir *image.Inode, n *foreignInode, path string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: %w: more than %d directories deep", path, container.ErrFormat, maxDepth)
	}
	entries, err := w.directory(n)
	if err != nil {
		return fmt.Errorf("directory %s/ (inode %d): %w", path, n.ino, err)
	}
	for _, e := range entries {
		if err := w.entry(dir, e, path+"/"+e.name, depth); err != nil {
			return err
		}
	}
	return nil
}

// entry links what an entry names, and reads it where it has no name yet.
func (w *treeReader) entry(dir *image.Inode, e foreignEntry, path string, depth int) error {
	if dir.Lookup(e.name) != nil {
		return fmt.Errorf("%s: %w: the name stands twice in its directory", path, container.ErrFormat)
	}
	if known := w.files[e.ino]; known != nil {
		if known.IsDir() {
			return fmt.Errorf("%s: %w: it is inode %d, a directory that has a name already", path, container.ErrFormat, e.ino)
		}
		dir.Link(e.name, known)
		return nil
	}
	file, n, err := w.file(e.ino)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	dir.Link(e.name, file)
	if !file.IsDir() {
		return nil
	}
	return w.fill(file, n, path, depth+1)
}

// file reads an inode and, of a directory, all but its entries.
func (w *treeReader) file(ino uint32) (*image.Inode, *foreignInode, error) {
	if err := w.memory.Spend(container.InodeMemory); err != nil {
		return nil, nil, err
	}
	n, err := w.inode(ino)
	if err != nil {
		return nil, nil, fmt.Errorf("inode %d: %w", ino, err)
	}
	file := &image.Inode{Mode: n.mode, UID: n.uid, GID: n.gid, ModTime: n.modTime}
	if file.Xattrs, n.inline, err = w.xattrs(n); err != nil {
		return nil, nil, fmt.Errorf("inode %d: extended attributes: %w", ino, err)
	}
	if err := w.describe(file, n); err != nil {
		return nil, nil, fmt.Errorf("inode %d: %w", ino, err)
	}
	w.files[ino] = file
	return file, n, nil
}

// describe sets what a file has because of its type.
func (w *treeReader) describe(file *image.Inode, n *foreignInode) (err error) {
	switch file.Type() {
	case image.TypeRegular:
		file.Content, err = w.content(n)
		file.Order = firstSource(file.Content)
	case image.TypeSymlink:
		file.Target, err = w.target(n)
	case image.TypeChar, image.TypeBlock:
		file.Major, file.Minor = n.device()
	case image.TypeDir, image.TypeFIFO, image.TypeSocket:
	default:
		err = fmt.Errorf("%w: it has the mode %#o, which is of no type", container.ErrFormat, n.mode)
	}
	return err
}

// firstSource returns where in the filesystem the first byte of content stands.
func firstSource(content []extent.Extent) int64 {
	for _, e := range content {
		if e.Kind == extent.Source {
			return e.Offset
		}
	}
	return 0
}
