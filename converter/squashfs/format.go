package squashfs

// Superblock (squashfs_fs.h, struct squashfs_super_block). Values are where a
// field is.
const (
	superMagic         = 0  // u32
	superInodes        = 4  // u32: how many there are
	superTime          = 8  // u32: when the filesystem was made
	superBlockSize     = 12 // u32: bytes of a data block
	superFragments     = 16 // u32: how many blocks of fragments
	superCompressor    = 20 // u16
	superBlockLog      = 22 // u16: the block size is 1 << this
	superFlags         = 24 // u16
	superIDs           = 26 // u16: how many user and group numbers
	superMajor         = 28 // u16
	superMinor         = 30 // u16
	superRoot          = 32 // u64: reference to the inode of the root
	superBytesUsed     = 40 // u64: length without padding
	superIDTable       = 48 // u64, this and the following: where tables are
	superXattrTable    = 56
	superInodeTable    = 64
	superDirTable      = 72
	superFragmentTable = 80
	superExportTable   = 88
	superblockSize     = 96

	magic        = 0x73717368 // "hsqs"
	versionMajor = 4
	versionMinor = 0

	// absent stands for a table that the filesystem does not have.
	absent = 1<<64 - 1
)

// Superblock flags. Those of the first group say what was not compressed; only
// programs that append look at them.
const (
	flagStoredInodes    = 1 << 0
	flagStoredData      = 1 << 1
	flagStoredFragments = 1 << 3
	flagStoredXattrs    = 1 << 8
	flagStoredIDs       = 1 << 11

	flagNoFragments = 1 << 4
	flagExportable  = 1 << 7
	flagNoXattrs    = 1 << 9
	flagOptions     = 1 << 10 // the compressor's options follow the superblock
)

// Compressors.
const (
	compressorGzip = 1
	compressorLZMA = 2
	compressorLZO  = 3
	compressorXZ   = 4
	compressorLZ4  = 5
	compressorZstd = 6
)

// Metadata is cut every 8 KiB and each block has a header of two bytes: its
// length in the file, and whether it is stored (squashfs.rst, 3.2).
const (
	metadataSize       = 8192
	metadataHeaderSize = 2
	metadataStored     = 1 << 15
)

// Data blocks are described by a word: the length in the file, and whether the
// block is stored. A word of 0 is a block of zeros that takes no space.
const (
	minBlockLog = 12 // 4 KiB
	maxBlockLog = 20 // 1 MiB
	blockStored = 1 << 24
	wordSize    = 4
)

// Types of inodes. Those from extendedDir on have more fields; directories name
// only the others.
const (
	typeDir             = 1
	typeFile            = 2
	typeSymlink         = 3
	typeBlock           = 4
	typeChar            = 5
	typeFIFO            = 6
	typeSocket          = 7
	typeExtendedDir     = 8
	typeExtendedFile    = 9
	typeExtendedSymlink = 10
	typeExtendedBlock   = 11
	typeExtendedChar    = 12
	typeExtendedFIFO    = 13
	typeExtendedSocket  = 14

	// toExtended is what lies between a type and its extended one.
	toExtended = typeExtendedDir - typeDir
)

// What stands for "none" in inodes.
const (
	noFragment = 1<<32 - 1
	noXattrs   = 1<<32 - 1
)

// Directories (squashfs.rst, 3.4). A listing is runs of at most 256 entries;
// each run has a header with what its entries share.
const (
	dirHeaderSize  = 12 // u32 entries less 1, u32 block of the inodes, u32 inode number
	dirEntrySize   = 8  // u16 offset of the inode, i16 number less the header's, u16 type, u16 bytes of the name less 1
	dirIndexSize   = 12 // u32 offset in the listing, u32 metadata block, u32 bytes of the name less 1
	maxRunEntries  = 256
	maxRunDelta    = 1<<15 - 1
	maxDirIndexes  = 1<<16 - 1
	maxBasicDir    = 1<<16 - 1
	dirSizeSurplus = 3 // sizes of directories count "." and ".." as 3 bytes
	maxNameLength  = 256
)

// Kinds of extended attributes, which stand for the start of a name.
const (
	xattrUser     = 0
	xattrTrusted  = 1
	xattrSecurity = 2

	// xattrApart says that the value is a reference to where the value is.
	xattrApart = 1 << 8

	xattrIDSize = 16 // u64 reference, u32 attributes, u32 bytes of them
)

const (
	fragmentSize = 16 // u64 where, u32 word, u32 unused
	inodeRefSize = 8  // in the export table
	idSize       = 4
	maxIDs       = 1<<16 - 1

	// padTo is what the length of a filesystem is rounded up to, so that block
	// devices can hold it.
	padTo = 4096
)

// Device numbers have 12 and 20 bits (Linux, include/linux/kdev_t.h,
// new_decode_dev).
const (
	maxMajor = 1<<12 - 1
	maxMinor = 1<<20 - 1
)

// reference is the place of something in a table of metadata: where its block
// starts in the table, shifted by 16, and where it is in the block's content.
type reference uint64

func (r reference) block() uint64  { return uint64(r) >> 16 }
func (r reference) offset() uint16 { return uint16(r) }

func newReference(block int64, offset int) reference {
	return reference(block)<<16 | reference(offset)
}
