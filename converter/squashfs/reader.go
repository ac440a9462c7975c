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
// of metadata, decoded, and [container.MaxTree] for the tree. Errors wrap
// [container.ErrFormat] or [container.ErrUnsupported].
func Open(r io.ReaderAt, size int64, source extent.Digest) (*container.Filesystem, error) {
	fs, err := open(container.File{Reader: r, Size: size}, source)
	if err != nil {
		return nil, fmt.Errorf("open squashfs of %d bytes: %w", size, err)
	}
	return fs, nil
}

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

	memory   container.Memory
	listings map[reference]listingPlace // of directories whose entries are still to be read
	xattrs   map[uint32][]image.Xattr
	tails    []tail            // in the order of the inodes
	longest  map[uint32]uint32 // how many bytes of a fragment are used, by its number
	words    int64             // how many descriptions of blocks were read
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
		units:      container.NewUnits(file.Reader, int64(super.blockSize), container.Whole(decompress)),
		memory:     container.Memory{Limit: container.MaxTree},
		listings:   make(map[reference]listingPlace),
		xattrs:     make(map[uint32][]image.Xattr),
		longest:    make(map[uint32]uint32),
	}
	tree, err := container.ReadTree(uint64(r.root), r, &r.memory)
	if err != nil {
		return nil, err
	}
	if err := r.readTails(); err != nil {
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
