package squashfs

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Open returns the files in a squashfs 4.0 as a tree over its own bytes: r reads
// the file, size is its length in bytes, and source is the digest by which the
// tree names it. Blocks that are compressed are units, decoded when they are
// read; those of gzip, xz, lz4 and zstd are.
//
// Every offset is checked to lie within the file. Memory is bounded: by 512 MiB
// of metadata, decoded, and [maxTree] for the tree. Errors wrap
// [container.ErrFormat] or [container.ErrUnsupported].
func Open(r io.ReaderAt, size int64, source extent.Digest) (*container.Filesystem, error) {
	fs, err := open(container.File{Reader: r, Size: size}, source)
	if err != nil {
		return nil, fmt.Errorf("open squashfs of %d bytes: %w", size, err)
	}
	return fs, nil
}

// maxTree bounds the memory, in bytes, that a tree takes: some two million files.
const maxTree = 1 << 30

// superblock is what the superblock says.
type superblock struct {
	inodes     uint32
	blockSize  uint32
	fragments  uint32
	compressor uint16
	flags      uint16
	ids        uint16
	root       reference
	bytesUsed  uint64

	idTable, xattrTable, inodeTable, dirTable, fragmentTable uint64
}

// reader reads a squashfs.
type reader struct {
	superblock
	metadata metadataReader
	source   extent.Digest
	units    *container.Units

	memory  int64                      // estimate of what the tree takes, in bytes
	files   map[reference]*image.Inode // those that are not directories, by their inodes
	dirs    map[reference]bool         // the directories that were met
	xattrs  map[uint32][]image.Xattr
	tails   []tail            // in the order of the inodes
	longest map[uint32]uint32 // how many bytes of a fragment are used, by its number
	words   int64             // how many descriptions of blocks were read
}

func open(file container.File, source extent.Digest) (*container.Filesystem, error) {
	super, err := readSuperblock(file)
	if err != nil {
		return nil, err
	}
	decompress, err := newDecompressor(super.compressor, int(super.blockSize))
	if err != nil {
		return nil, err
	}
	file.Size = int64(super.bytesUsed)
	metadata := metadataReader{file: file, decompress: decompress}
	if super.flags&flagOptions != 0 && super.compressor == compressorXZ {
		if err := metadata.checkXZOptions(); err != nil {
			return nil, err
		}
	}
	r := &reader{
		superblock: super,
		metadata:   metadata,
		source:     source,
		units: container.NewUnits(file.Reader, int64(super.blockSize), func(dst, stored []byte) error {
			n, err := decompress(dst, stored)
			if err == nil && n < len(dst) {
				err = fmt.Errorf("%d bytes come out, expected %d: %w", n, len(dst), io.ErrUnexpectedEOF)
			}
			return err
		}),
		files:   make(map[reference]*image.Inode),
		dirs:    make(map[reference]bool),
		xattrs:  make(map[uint32][]image.Xattr),
		longest: make(map[uint32]uint32),
	}
	tree, err := r.readTree()
	if err != nil {
		return nil, err
	}
	fs := &container.Filesystem{Tree: tree, Units: r.units}
	if r.units.Len() == 0 {
		fs.Units = nil
	}
	return fs, nil
}

func readSuperblock(file container.File) (s superblock, err error) {
	b, err := file.Bytes("superblock", 0, superblockSize)
	if err != nil {
		return s, err
	}
	le := binary.LittleEndian
	if m := le.Uint32(b[superMagic:]); m != magic {
		return s, fmt.Errorf("%w: it starts with %#08x, expected %#08x, the magic of squashfs", container.ErrFormat, m, magic)
	}
	if major, minor := le.Uint16(b[superMajor:]), le.Uint16(b[superMinor:]); major != versionMajor || minor != versionMinor {
		return s, fmt.Errorf("%w: version %d.%d, expected %d.%d", container.ErrUnsupported, major, minor, versionMajor, versionMinor)
	}
	s = superblock{
		inodes:        le.Uint32(b[superInodes:]),
		blockSize:     le.Uint32(b[superBlockSize:]),
		fragments:     le.Uint32(b[superFragments:]),
		compressor:    le.Uint16(b[superCompressor:]),
		flags:         le.Uint16(b[superFlags:]),
		ids:           le.Uint16(b[superIDs:]),
		root:          reference(le.Uint64(b[superRoot:])),
		bytesUsed:     le.Uint64(b[superBytesUsed:]),
		idTable:       le.Uint64(b[superIDTable:]),
		xattrTable:    le.Uint64(b[superXattrTable:]),
		inodeTable:    le.Uint64(b[superInodeTable:]),
		dirTable:      le.Uint64(b[superDirTable:]),
		fragmentTable: le.Uint64(b[superFragmentTable:]),
	}
	log := le.Uint16(b[superBlockLog:])
	if log < minBlockLog || log > maxBlockLog || s.blockSize != 1<<log {
		return s, fmt.Errorf("%w: blocks of %d bytes, 1 << %d, expected a power of two from %d to %d", container.ErrFormat, s.blockSize, log, 1<<minBlockLog, 1<<maxBlockLog)
	}
	if s.bytesUsed > uint64(file.Size) {
		return s, fmt.Errorf("%w: it says that it has %d bytes, but the file ends at %d; it was cut short", container.ErrFormat, s.bytesUsed, file.Size)
	}
	return s, nil
}

// spend counts memory for the tree.
func (r *reader) spend(n int64) error {
	if r.memory += n; r.memory > maxTree {
		return fmt.Errorf("%w: its files take more than %d bytes of memory to list", container.ErrUnsupported, maxTree)
	}
	return nil
}

// readTree reads all directories, one after the other, and then gives files the
// ends that are in fragments.
func (r *reader) readTree() (*image.Tree, error) {
	root, list, err := r.readInode(r.root)
	if err != nil {
		return nil, fmt.Errorf("the root directory: %w", err)
	}
	if list == nil {
		return nil, fmt.Errorf("%w: the root is not a directory", container.ErrFormat)
	}
	root.Links = 1
	r.dirs[r.root] = true
	for todo := []*dirListing{list}; len(todo) > 0; {
		last := len(todo) - 1
		d := todo[last]
		below, err := r.readDirectory(d)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.path(), err)
		}
		todo = append(todo[:last], below...)
	}
	if err := r.readTails(); err != nil {
		return nil, err
	}
	tree := &image.Tree{Root: root}
	tree.Sort()
	return tree, nil
}
