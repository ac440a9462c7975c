package erofs

// Superblock (erofs_fs.h, struct erofs_super_block). Values are where a field
// is in it.
const (
	superOffset     = 1024 // of the superblock in the filesystem
	superMagic      = 0    // u32
	superChecksum   = 4    // u32: CRC-32C from the superblock to the end of its block, with 0 here and no final inversion
	superCompat     = 8    // u32: features that may be ignored
	superBlockBits  = 12   // u8
	superRoot       = 14   // u16: number of the root's inode
	superInodes     = 16   // u64
	superTime       = 24   // u64: when it was made, and the time of compact inodes
	superTimeNsec   = 32   // u32
	superBlocks     = 36   // u32
	superMetaBlock  = 40   // u32: inodes are counted from it
	superXattrBlock = 44   // u32: shared attributes are counted from it
	superUUID       = 48
	superLabel      = 64
	superIncompat   = 80 // u32: features that must be known
	superDevices    = 86 // u16: further devices
	superDirBlock   = 90 // u8: directory blocks are larger than others by this power of two
	superPacked     = 96 // u64: number of the inode that ends of files are packed in; 0 is none
	superblockSize  = 128

	magic = 0xE0F5E1E2

	labelSize = 16

	compatChecksum = 1 << 0
	compatTimes    = 1 << 1 // times are those of the last change of content
)

// Incompatible features that are read past: what they allow is refused in the
// files that use it.
const (
	incompatPadding     = 1 << 0 // zeros before compressed data
	incompatCompressors = 1 << 1 // configurations of compressors, or large clusters
	incompatChunks      = 1 << 2 // chunk-based files
	incompatSecondHead  = 1 << 3 // a second algorithm, or further devices
	incompatTails       = 1 << 4 // compressed data in inodes
	incompatFragments   = 1 << 5 // ends of files packed in one file, or content used several times
	incompatPrefixes    = 1 << 6 // long prefixes of attributes

	incompatKnown = incompatPadding | incompatCompressors | incompatChunks | incompatSecondHead | incompatTails | incompatFragments | incompatPrefixes

	// incompatHeaders are those with which the header of a compressed file means
	// something, if its index is a full one.
	incompatHeaders = incompatCompressors | incompatTails | incompatFragments
)

const (
	blockBits = 12
	blockSize = 1 << blockBits // of what is planned

	minBlockBits = 9
	maxBlockBits = 16

	// slotSize is what inodes are numbered by: an inode's number is its place
	// divided by it.
	slotSize = 32
)

// Inodes (struct erofs_inode_compact and erofs_inode_extended). Where both have
// a field in the same place it has one name.
const (
	inodeFormat = 0  // u16: bit 0 is set in extended ones, bits 1 to 3 are the layout
	inodeXattrs = 2  // u16: 0, or how many 4 bytes follow the header of attributes, and 1
	inodeMode   = 4  // u16
	inodeSize   = 8  // u32, extended u64
	inodeUnion  = 16 // u32: first block of content, device number or chunk format
	inodeIno    = 20 // u32: a number for programs of 32 bits

	compactLinks = 6  // u16
	compactUID   = 24 // u16
	compactGID   = 26 // u16
	compactSize  = 32

	extendedUID   = 24 // u32
	extendedGID   = 28 // u32
	extendedTime  = 32 // u64
	extendedNsec  = 40 // u32
	extendedLinks = 44 // u32
	extendedSize  = 64

	formatExtended    = 1 << 0
	formatLayoutShift = 1
	formatLayoutMask  = 7
)

// Layouts of content.
const (
	layoutPlain             = 0 // blocks in a row
	layoutCompressed        = 1
	layoutInline            = 2 // the same, but the end stands behind the inode
	layoutCompressedCompact = 3
	layoutChunks            = 4 // pieces of one size, anywhere
)

// noBlock stands for a file without blocks, and for a chunk that is a hole.
const noBlock = 1<<32 - 1

// Chunk formats (EROFS_CHUNK_FORMAT_*).
const (
	chunkBits        = 0x1F   // the size of a chunk is that of a block shifted by so much
	chunkIndexes     = 0x0020 // each chunk has 8 bytes, not 4
	chunkKnown       = chunkBits | chunkIndexes
	chunkAddressSize = 4 // u32 block
	chunkIndexSize   = 8 // u16 flags, u16 device, u32 block
)

// The header of a compressed file follows its inode and attributes, at a
// multiple of 8 bytes (struct z_erofs_map_header). Behind it stands the index.
const (
	compressionHeaderSize = 8
	compressionFragment   = 0 // u32: where the end of the file is in the packed inode
	compressionTail       = 2 // u16: bytes of the last extent, which stands behind the index
	compressionAdvice     = 4 // u16
	compressionAlgorithms = 6 // u8: of the first kind of head, and shifted by 4 of the second
	compressionBits       = 7 // u8: a cluster is that of a block shifted by so much

	// compressionPacked says that the whole file is in the packed inode: all bits
	// of the header but this one are where.
	compressionPacked = 1 << 63

	advicePairs       = 1 << 0 // a compact index has packs of 16 clusters
	adviceLargeFirst  = 1 << 1 // extents of the first kind of head are stored in several blocks
	adviceLargeSecond = 1 << 2
	adviceTail        = 1 << 3 // the last extent stands behind the index
	adviceRotated     = 1 << 4 // bytes stored as they are stand where in a block they do in the file
	adviceFragment    = 1 << 5 // the last extent is in the packed inode
	adviceKnown       = 1<<6 - 1
)

// An index has an entry for each logical cluster: for each block of the file's
// content. A cluster is a head, in which an extent of content begins, or goes on
// with the one before (struct z_erofs_lcluster_index).
const (
	clusterPlain  = 0 // a head; its extent is stored as it is
	clusterFirst  = 1 // a head
	clusterInner  = 2 // not a head
	clusterSecond = 3 // a head with the second algorithm

	// clusterBlocks says that an inner cluster does not count how far its head is
	// but how many blocks it is stored in.
	clusterBlocks     = 1 << 11
	clusterBlocksBits = 12

	// Entries of a full index, which begins 8 bytes after the header.
	fullEntrySize = 8
	fullPadding   = 8
	fullKind      = 0 // u16, of which two bits are the kind
	fullOffset    = 2 // u16: where in the cluster an extent begins
	fullBlock     = 4 // u32: the first it is stored in; of inner clusters u16, see clusterBlocks
	clusterKinds  = 3

	// Packs of a compact index: entries of some bits each, then u32, the block
	// from which those of the pack are counted.
	pairSize     = 8  // of 2 clusters
	packSize     = 32 // of 16 clusters
	pairClusters = 2
	packClusters = 16
	maxPairBits  = 14 // clusters are no larger than 1 shifted by these
	maxPackBits  = 12
)

// Algorithms.
const (
	algorithmLZ4     = 0
	algorithmLZMA    = 1 // MicroLZMA of XZ Utils
	algorithmDeflate = 2
	algorithmZstd    = 3
)

// Limits of Linux (fs/erofs/internal.h).
const (
	maxStored = 1 << 20  // bytes that an extent is stored in
	maxHeld   = 12 << 20 // bytes of content of an extent
)

// Directories: each block has its entries, then their names. All entries of a
// directory are sorted by name, "." and ".." among them.
const (
	direntSize    = 12 // u64 inode, u16 where the name is, u8 type, u8 0
	direntNameAt  = 8
	direntType    = 10
	maxNameLength = 255
)

// Attributes: a header, the numbers of shared ones, then entries, each a header,
// a name and a value, padded to 4 bytes.
const (
	xattrHeaderSize  = 12
	xattrSharedCount = 4 // u8 in the header
	xattrEntrySize   = 4 // u8 length of the name, u8 prefix, u16 length of the value
	xattrAlign       = 4
	maxXattrShared   = 1<<8 - 1
	maxXattrWords    = 1<<16 - 1 // that inodeXattrs can count
)

// Prefixes of names.
const (
	prefixUser       = 1
	prefixACLAccess  = 2
	prefixACLDefault = 3
	prefixTrusted    = 4
	prefixSecurity   = 6

	// prefixLong says that the rest is the number of a prefix of the
	// filesystem's own.
	prefixLong = 0x80
)

// Device numbers have 12 and 20 bits (Linux, include/linux/kdev_t.h,
// new_encode_dev).
const (
	maxMajor = 1<<12 - 1
	maxMinor = 1<<20 - 1
)

// maxTarget is how long the target of a symbolic link can be.
const maxTarget = 4095
