package ext4

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/image"
)

// node is a file to be placed: of the tree, or one of the filesystem's own.
type node struct {
	ino      uint32
	mode     uint16
	uid, gid uint32
	time     image.Time
	size     int64
	links    uint32
	flags    uint32
	order    int64
	root     *[inodeBlockSize]byte // i_block, where it is not made of the pieces

	xattrs  encodedXattrs
	content content
	runs    []run // of the content, until it is placed

	firstPiece, endPiece int      // in plan.pieces: where the content stands
	treeBlocks           []uint32 // where the extent tree stands
	xattrBlock           uint32
}

func (n *node) isDir() bool { return uint32(n.mode)&image.TypeMask == image.TypeDir }

// isFile reports whether n is a regular file, whose content comes after all
// metadata.
func (n *node) isFile() bool { return uint32(n.mode)&image.TypeMask == image.TypeRegular }

// collector turns a tree into nodes: it numbers the inodes, and encodes
// directories and attributes. Nothing of it depends on the geometry.
type collector struct {
	sums   checksummer
	hasher dirHasher
	root   *node
	files  []*node // by number, from firstIno on
	linked map[*image.Inode]*node
}

func newCollector(o Options) *collector {
	return &collector{
		sums:   newChecksummer(o.UUID, !o.has(MetadataChecksum)),
		hasher: newDirHasher(o.HashSeed),
		linked: make(map[*image.Inode]*node),
	}
}

// lostAndFound returns the directory e2fsck puts what it finds in, if the tree
// has none.
func lostAndFound(o Options) *image.Inode {
	return &image.Inode{Mode: image.TypeDir | 0o700, ModTime: o.Time, Links: 1}
}

// collect walks the tree. The files of one directory have numbers in a row;
// lost+found has the first one.
func (c *collector) collect(tree *image.Tree, o Options) error {
	if tree == nil || tree.Root == nil || !tree.Root.IsDir() {
		return fmt.Errorf("the tree has no root directory: %w", ErrTree)
	}
	root, err := c.node(tree.Root, rootIno)
	if err != nil {
		return fmt.Errorf("the root directory: %w", err)
	}
	c.root = root
	c.root.links = 2
	lost := tree.Root.Lookup(lostAndFoundName)
	if lost == nil {
		lost = lostAndFound(o)
	}
	if !lost.IsDir() {
		return fmt.Errorf("/%s is not a directory, as e2fsck needs: %w", lostAndFoundName, ErrTree)
	}
	dir := &directory{node: c.root, src: tree.Root, parent: rootIno}
	if err := c.link(dir, lostAndFoundName, lost); err != nil {
		return err
	}
	return c.directory(dir)
}

// directory is one being walked.
type directory struct {
	node    *node
	src     *image.Inode
	parent  uint32 // the number of the directory above
	above   *directory
	name    string // in the directory above
	entries []dirEntry
	below   []*directory
}

// path returns the path of a name in d, for messages.
func (d *directory) path(name string) string {
	parts := []string{name}
	for ; d.above != nil; d = d.above {
		parts = append(parts, d.name)
	}
	slices.Reverse(parts)
	return "/" + strings.Join(parts, "/")
}

// directory gives numbers to all that is in d, encodes it, and goes down.
func (c *collector) directory(d *directory) error {
	for _, name := range d.src.Names() {
		if d.above == nil && name == lostAndFoundName {
			continue // linked first
		}
		if err := c.link(d, name, d.src.Lookup(name)); err != nil {
			return err
		}
	}
	data, indexed, err := c.buildDirectory(d.node, d.parent, d.entries)
	if err != nil {
		return fmt.Errorf("%s: %w", d.path(""), err)
	}
	d.entries = nil
	d.node.setBlocks(data)
	if indexed {
		d.node.flags |= flagIndexed
	}
	for _, below := range d.below {
		if err := c.directory(below); err != nil {
			return err
		}
	}
	return nil
}

// link adds a name to a directory being walked.
func (c *collector) link(d *directory, name string, src *image.Inode) error {
	child, err := c.child(name, src)
	if err != nil {
		return fmt.Errorf("%s: %w", d.path(name), err)
	}
	d.entries = append(d.entries, dirEntry{name: name, ino: child.ino, fileType: fileType(uint32(child.mode))})
	if !child.isDir() {
		if child.links++; child.links > maxLinks {
			return fmt.Errorf("%s: the file has more than %d names: %w", d.path(name), maxLinks, ErrTree)
		}
		return nil
	}
	child.links = 2
	d.node.addSubdirectory()
	d.below = append(d.below, &directory{node: child, src: src, parent: d.node.ino, above: d, name: name})
	return nil
}

// addSubdirectory counts the ".." of one more directory. Past maxLinks the
// count stays at 1, which means that it is not kept (dir_nlink).
func (n *node) addSubdirectory() {
	switch n.links {
	case 1:
	case maxLinks:
		n.links = 1
	default:
		n.links++
	}
}

// child returns the node of a file, which it may have had under another name.
func (c *collector) child(name string, src *image.Inode) (*node, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if src.Links <= 1 {
		return c.newFile(src)
	}
	if src.IsDir() {
		return nil, fmt.Errorf("the directory has %d names: %w", src.Links, ErrTree)
	}
	if n := c.linked[src]; n != nil {
		return n, nil
	}
	n, err := c.newFile(src)
	c.linked[src] = n
	return n, err
}

func (c *collector) newFile(src *image.Inode) (*node, error) {
	ino := uint64(firstIno + len(c.files))
	if ino >= 1<<32 {
		return nil, fmt.Errorf("there are more than %d files: %w", len(c.files), ErrTree)
	}
	n, err := c.node(src, uint32(ino))
	c.files = append(c.files, n)
	return n, err
}

// node returns the node of a file, without names.
func (c *collector) node(src *image.Inode, ino uint32) (*node, error) {
	if src.Mode>>16 != 0 || src.ModTime.Nsec >= nanoseconds {
		return nil, fmt.Errorf("mode %#o and %d nanoseconds, expected at most 16 bits and less than a second: %w", src.Mode, src.ModTime.Nsec, ErrTree)
	}
	xattrs, err := encodeXattrs(src.Xattrs)
	if err != nil {
		return nil, err
	}
	n := &node{
		ino:    ino,
		mode:   uint16(src.Mode),
		uid:    src.UID,
		gid:    src.GID,
		time:   src.ModTime,
		order:  src.Order,
		xattrs: xattrs,
	}
	return n, n.setType(src)
}

// setType takes over what only files of one type have.
func (n *node) setType(src *image.Inode) (err error) {
	switch src.Type() {
	case image.TypeRegular:
		n.flags = flagExtents
		return n.setContent(src)
	case image.TypeDir:
		n.flags = flagExtents // the entries come later
	case image.TypeSymlink:
		return n.setTarget(src.Target)
	case image.TypeChar, image.TypeBlock:
		n.root, err = deviceBlock(src.Major, src.Minor)
		return err
	case image.TypeFIFO, image.TypeSocket:
		n.root = new([inodeBlockSize]byte)
	default:
		return fmt.Errorf("mode %#o names no file type: %w", src.Mode, ErrTree)
	}
	return nil
}

// setTarget takes over the target of a symbolic link: in the inode if it fits
// with a zero byte after it, otherwise in a block, where the same holds.
func (n *node) setTarget(target string) error {
	if target == "" || len(target) >= blockSize || strings.Contains(target, "\x00") {
		return fmt.Errorf("a symbolic link with a target of %d bytes, expected 1 to %d, none of them zero: %w",
			len(target), blockSize-1, ErrTree)
	}
	n.size = int64(len(target))
	if len(target) < inodeBlockSize {
		n.root = new([inodeBlockSize]byte)
		copy(n.root[:], target)
		return nil
	}
	n.flags = flagExtents
	n.content = blocks(target)
	n.runs = oneRun(len(target))
	return nil
}

// setBlocks gives n content made by the planner.
func (n *node) setBlocks(b blocks) {
	n.content = b
	n.size = int64(len(b))
	n.runs = oneRun(len(b))
}
