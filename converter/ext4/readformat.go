package ext4

// What only filesystems of others have (ext4 doc, "The Super Block").
const (
	compatSparseSuper2 = 0x200

	incompatCompression   = 0x1
	incompatRecover       = 0x4
	incompatJournalDevice = 0x8
	incompatMetaBG        = 0x10
	incompatMMP           = 0x100
	incompatEAInode       = 0x400
	incompatDirData       = 0x1000
	incompatCsumSeed      = 0x2000
	incompatLargeDir      = 0x4000
	incompatInlineData    = 0x8000
	incompatEncrypt       = 0x10000
	incompatCasefold      = 0x20000

	roCompatBigalloc     = 0x200
	roCompatSharedBlocks = 0x4000

	// incompatRead are the incompatible features that are read. What encrypt,
	// casefold and ea_inode allow is refused where it is used.
	incompatRead = incompatFiletype | incompatRecover | incompatMetaBG | incompatExtents | incompat64Bit |
		incompatMMP | incompatFlexBG | incompatEAInode | incompatCsumSeed | incompatLargeDir |
		incompatInlineData | incompatEncrypt | incompatCasefold
)

// featureNames are the names that tools give to the features that are refused.
var featureNames = []struct {
	bit  uint32
	name string
}{
	{incompatCompression, "compression"},
	{incompatJournalDevice, "journal_dev"},
	{incompatDirData, "dirdata"},
}

// Flags of an inode that are refused, or that say how its content is kept.
const (
	flagCompressed = 0x4
	flagEncrypted  = 0x800
	flagVerity     = 0x100000
	flagEAInode    = 0x200000
	flagInline     = 0x10000000 // i_block and an attribute are the content
	flagCasefold   = 0x40000000
)

// refusedFlags are the flags of files that nothing here can hand on.
var refusedFlags = []struct {
	bit  uint32
	what string
}{
	{flagCompressed, "it is compressed"},
	{flagEncrypted, "it is encrypted: its key is not in the filesystem"},
	{flagVerity, "it is protected by fs-verity, which would be lost"},
	{flagEAInode, "it is the value of an extended attribute"},
	{flagCasefold, "its names do not tell upper from lower case, which would be lost"},
}

// Bounds of what is read.
const (
	minLogBlockSize  = 10 // 1 KiB
	maxLogBlockSize  = 16 // 64 KiB
	maxExtentDepth   = 5
	maxTarget        = 4096 // bytes of a symbolic link: PATH_MAX
	maxDepth         = 2048 // directories in a path: more than fit in PATH_MAX
	maxXattrSharers  = 1024 // inodes that share an attribute block
	indexSystem      = 7
	inlineDataName   = "data" // system.data: what of inline content is not in i_block
	inlineParentSize = 4      // an inline directory begins with its parent's number
)
