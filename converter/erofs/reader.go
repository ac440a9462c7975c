package erofs

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Open returns the files in an EROFS as a tree over its own bytes: r reads the
// file, size is its length in bytes, and source is the digest by which the
// tree names it. Extents that are compressed are units, decoded when they are
// read: those of LZ4, MicroLZMA, DEFLATE and Zstandard are. Filesystems on several
// devices are refused.
//
// Every offset is checked to lie within the file. Memory is bounded by
// [container.MaxTree]. Errors wrap [container.ErrFormat] or
// [container.ErrUnsupported].
func Open(r io.ReaderAt, size int64, source extent.Digest) (*container.Filesystem, error) {
	fs, err := open(container.File{Reader: r, Size: size}, source)
	if err != nil {
		return nil, fmt.Errorf("open EROFS of %d bytes: %w", size, err)
	}
	return fs, nil
}

// superblock is what the superblock says.
type superblock struct {
	blockBits  uint8
	root       uint64
	time       image.Time
	metaBlock  uint32
	xattrBlock uint32
	features   uint32 // that must be known
	packed     uint64
}

func (s superblock) blockSize() int64 { return 1 << s.blockBits }

// place returns where a block is in the file.
func (s superblock) place(block uint32) int64 { return int64(block) << s.blockBits }

// reader reads an EROFS.
type reader struct {
	superblock
	file   container.File
	source extent.Digest

	memory container.Memory
	dirs   map[uint64]*image.Inode // whose entries are still to be read
	shared map[uint32]image.Xattr
	pieces int64 // how many chunks and clusters were read

	units     *container.Units
	decoders  [algorithmZstd + 1]container.Decode // those that were needed
	fragments *extent.Map                         // the content of the packed inode, once it was needed
}

func open(file container.File, source extent.Digest) (*container.Filesystem, error) {
	super, err := readSuperblock(file)
	if err != nil {
		return nil, err
	}
	r := &reader{
		superblock: super, file: file, source: source,
		memory: container.Memory{Limit: container.MaxTree},
		dirs:   make(map[uint64]*image.Inode),
		shared: make(map[uint32]image.Xattr),
		units:  container.NewUnits(file.Reader, maxHeld, nil),
	}
	tree, err := container.ReadTree(super.root, r, &r.memory)
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
	b, err := file.Bytes("superblock", superOffset, superblockSize)
	if err != nil {
		return s, err
	}
	le := binary.LittleEndian
	if m := le.Uint32(b[superMagic:]); m != magic {
		return s, fmt.Errorf("%w: its superblock starts with %#08x, expected %#08x, the magic of EROFS", container.ErrFormat, m, uint32(magic))
	}
	s = superblock{
		blockBits:  b[superBlockBits],
		root:       uint64(le.Uint16(b[superRoot:])),
		time:       image.Time{Sec: int64(le.Uint64(b[superTime:])), Nsec: le.Uint32(b[superTimeNsec:])},
		metaBlock:  le.Uint32(b[superMetaBlock:]),
		xattrBlock: le.Uint32(b[superXattrBlock:]),
		features:   le.Uint32(b[superIncompat:]),
		packed:     le.Uint64(b[superPacked:]),
	}
	if s.blockBits < minBlockBits || s.blockBits > maxBlockBits {
		return s, fmt.Errorf("%w: blocks of 1 << %d bytes, expected %d to %d", container.ErrFormat, s.blockBits, minBlockBits, maxBlockBits)
	}
	if s.time.Nsec >= nanoseconds {
		return s, fmt.Errorf("%w: it was made at %d nanoseconds, expected less than a second", container.ErrFormat, s.time.Nsec)
	}
	if s.features&^incompatKnown != 0 {
		return s, fmt.Errorf("%w: it has the features %#x, known are %#x", container.ErrUnsupported, s.features, incompatKnown)
	}
	if n := le.Uint16(b[superDevices:]); n != 0 {
		return s, fmt.Errorf("%w: its content is on %d further devices", container.ErrUnsupported, n)
	}
	if b[superDirBlock] != 0 {
		return s, fmt.Errorf("%w: blocks of directories are %d times doubled", container.ErrUnsupported, b[superDirBlock])
	}
	if n := int64(le.Uint32(b[superBlocks:])) << s.blockBits; n > file.Size {
		return s, fmt.Errorf("%w: it says that it has %d bytes, but the file ends at %d; it was cut short", container.ErrFormat, n, file.Size)
	}
	if le.Uint32(b[superCompat:])&compatChecksum == 0 {
		return s, nil
	}
	return s, s.checkSum(file)
}

// checkSum compares the checksum of the superblock and what follows it in its
// block.
func (s superblock) checkSum(file container.File) error {
	length := s.blockSize()
	if length > superOffset {
		length -= superOffset
	}
	b, err := file.Bytes("superblock", superOffset, length)
	if err != nil {
		return err
	}
	want := binary.LittleEndian.Uint32(b[superChecksum:])
	clear(b[superChecksum : superChecksum+4])
	if got := checksum(b); got != want {
		return fmt.Errorf("%w: the checksum of the superblock is %#08x, it should be %#08x", container.ErrFormat, got, want)
	}
	return nil
}
