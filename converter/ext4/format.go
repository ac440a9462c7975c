package ext4

import "github.com/cloudlets/cloudlets/image"

// Sizes that are the same in every filesystem this package plans. All on-disk
// integers are little-endian, except in the journal.
const (
	blockSize      = 4096
	blocksPerGroup = 8 * blockSize // as many as one bitmap block has bits
	groupsPerFlex  = 1 << logGroupsPerFlex
	inodeSize      = 256
	extraInodeSize = 32 // what of an inode past its first 128 bytes has fields
	inodesPerBlock = blockSize / inodeSize
	sectorSize     = 512 // the unit of i_blocks

	logBlockSize     = 2 // 1024 << 2
	logGroupsPerFlex = 4

	// maxBlocks keeps every block number within 32 bits, which the resize
	// inode needs.
	maxBlocks = 1<<32 - 1
	// maxFileBlocks is bounded by ee_block; the last number is reserved.
	maxFileBlocks = 1<<32 - 1
	// maxInodesPerGroup is how many inodes one bitmap block can count.
	maxInodesPerGroup = 8 * blockSize
	maxNameLength     = 255
	maxLinks          = 65000 // EXT4_LINK_MAX
	maxMajor          = 1<<12 - 1
	maxMinor          = 1<<20 - 1
)

// Inodes with a fixed number (ext4 doc, "Special inodes"). Inodes 1 to 10 are
// in use from the start, even those that hold nothing.
const (
	rootIno         = 2
	resizeIno       = 7
	journalIno      = 8
	firstIno        = 11 // the first one free for files
	lostAndFoundIno = firstIno
	reservedInodes  = firstIno - 1
)

// Feature bits (ext4 doc, "The Super Block").
const (
	compatHasJournal  = 0x4
	compatExtAttr     = 0x8
	compatResizeInode = 0x10
	compatDirIndex    = 0x20

	incompatFiletype = 0x2
	incompatExtents  = 0x40
	incompat64Bit    = 0x80
	incompatFlexBG   = 0x200

	roCompatSparseSuper  = 0x1
	roCompatLargeFile    = 0x2
	roCompatHugeFile     = 0x8
	roCompatDirNlink     = 0x20
	roCompatExtraIsize   = 0x40
	roCompatMetadataCsum = 0x400
)

// Values of other superblock fields.
const (
	superblockOffset   = 1024 // in the first block; copies start their block
	superblockSize     = 1024
	superblockMagic    = 0xEF53
	superblockSumAt    = 0x3FC
	stateClean         = 1
	errorsContinue     = 1
	revisionDynamic    = 1
	noMaxMountCount    = 0xFFFF
	hashHalfMD4        = 1
	journalBackupBlock = 1 // s_jnl_blocks holds i_block and i_size
	flagSignedHash     = 1
	checksumCRC32C     = 1
	mountUserXattrACL  = 0xC // user_xattr and acl, the default of mke2fs
)

// superblock is ext4_super_block (ext4 doc, "The Super Block").
type superblock struct {
	InodesCount       uint32 // 0x00
	BlocksCountLo     uint32
	ReservedBlocksLo  uint32
	FreeBlocksLo      uint32
	FreeInodes        uint32 // 0x10
	FirstDataBlock    uint32
	LogBlockSize      uint32
	LogClusterSize    uint32
	BlocksPerGroup    uint32 // 0x20
	ClustersPerGroup  uint32
	InodesPerGroup    uint32
	MountTime         uint32
	WriteTime         uint32 // 0x30
	MountCount        uint16
	MaxMountCount     uint16
	Magic             uint16
	State             uint16
	Errors            uint16
	MinorRevision     uint16
	LastCheck         uint32 // 0x40
	CheckInterval     uint32
	CreatorOS         uint32
	Revision          uint32
	ReservedUID       uint16 // 0x50
	ReservedGID       uint16
	FirstInode        uint32
	InodeSize         uint16
	BlockGroup        uint16 // the group this copy stands in
	Compat            uint32
	Incompat          uint32 // 0x60
	ROCompat          uint32
	UUID              [16]byte
	Label             [16]byte // 0x78
	LastMounted       [64]byte
	AlgorithmBitmap   uint32 // 0xC8
	PreallocBlocks    uint8
	PreallocDirBlocks uint8
	ReservedGDT       uint16
	JournalUUID       [16]byte // 0xD0
	JournalInode      uint32   // 0xE0
	JournalDevice     uint32
	LastOrphan        uint32
	HashSeed          [16]byte // 0xEC
	HashVersion       uint8
	JournalBackupType uint8
	DescSize          uint16
	MountOptions      uint32 // 0x100
	FirstMetaGroup    uint32
	MakeTime          uint32
	JournalBackup     [17]uint32 // 0x10C: i_block, i_size_high, i_size
	BlocksCountHi     uint32     // 0x150
	ReservedBlocksHi  uint32
	FreeBlocksHi      uint32
	MinExtraInodeSize uint16
	NewExtraInodeSize uint16
	Flags             uint32 // 0x160
	_                 [16]byte
	LogGroupsPerFlex  uint8 // 0x174
	ChecksumType      uint8
	_                 [0x248 - 0x176]byte
	OverheadBlocks    uint32    // 0x248
	BackupGroups      [2]uint32 // with sparse_super2: groups with copies, 0 for none
	_                 [0x270 - 0x254]byte
	ChecksumSeed      uint32 // 0x270, with metadata_csum_seed
	_                 [2]byte
	MakeTimeHi        uint8 // 0x276
	LastCheckHi       uint8
	_                 [superblockSumAt - 0x278]byte
	Checksum          uint32 // 0x3FC
}

// Flags of a group (ext4 doc, "Block Group Descriptors").
const (
	groupInodeUninit = 1 // no inode is in use; the bitmap is not read
	groupInodeZeroed = 4 // the inode table holds zeros where it is unused
)

// groupDesc is ext4_group_desc. Without the 64bit feature it ends before
// BlockBitmapHi.
type groupDesc struct {
	BlockBitmapLo    uint32 // 0x00
	InodeBitmapLo    uint32
	InodeTableLo     uint32
	FreeBlocksLo     uint16
	FreeInodesLo     uint16
	UsedDirsLo       uint16 // 0x10
	Flags            uint16
	_                uint32
	BlockBitmapSumLo uint16
	InodeBitmapSumLo uint16
	UnusedInodesLo   uint16
	Checksum         uint16 // 0x1E
	_                [12]byte
	_                [8]byte // high halves of the counts, all below 1<<16
	_                uint32
	BlockBitmapSumHi uint16 // 0x38
	InodeBitmapSumHi uint16
	_                uint32
}

const (
	descSize64    = 64
	descSize32    = 32
	descSumOffset = 0x1E

	descInodeTable   = 0x08
	descInodeTableHi = 0x28
)

// Where the fields of an inode stand (ext4 doc, "Index Nodes").
const (
	inodeMode       = 0x00
	inodeUIDLo      = 0x02
	inodeSizeLo     = 0x04
	inodeAccess     = 0x08
	inodeChange     = 0x0C
	inodeModify     = 0x10
	inodeGIDLo      = 0x18
	inodeDeleted    = 0x14
	inodeLinks      = 0x1A
	inodeBlocksLo   = 0x1C
	inodeFlags      = 0x20
	inodeBlock      = 0x28
	inodeGeneration = 0x64
	inodeACLLo      = 0x68
	inodeSizeHi     = 0x6C
	inodeBlocksHi   = 0x74
	inodeACLHi      = 0x76
	inodeUIDHi      = 0x78
	inodeGIDHi      = 0x7A
	inodeSumLo      = 0x7C
	inodeExtraSize  = 0x80
	inodeSumHi      = 0x82
	inodeChangeMore = 0x84
	inodeModifyMore = 0x88
	inodeAccessMore = 0x8C
	inodeCreate     = 0x90
	inodeCreateMore = 0x94
	inodeXattrs     = inodeOldSize + extraInodeSize

	inodeOldSize   = 128 // an inode without extra fields
	inodeBlockSize = 60  // bytes of i_block
	newGeneration  = 0   // i_generation of the inodes that are planned
)

// Flags of an inode.
const (
	flagIndexed = 0x1000  // a directory with a hash tree
	flagExtents = 0x80000 // i_block is an extent tree
)

// fileType returns the type byte of a directory entry for the type bits of a
// mode (ext4 doc, "Directory Entries"), or 0 where there is none.
func fileType(mode uint32) uint8 {
	switch mode & image.TypeMask {
	case image.TypeRegular:
		return 1
	case image.TypeDir:
		return 2
	case image.TypeChar:
		return 3
	case image.TypeBlock:
		return 4
	case image.TypeFIFO:
		return 5
	case image.TypeSocket:
		return 6
	case image.TypeSymlink:
		return 7
	}
	return 0
}
