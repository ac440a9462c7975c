package vmdk

// Sizes, from "Hosted Sparse Extents" and "Grain Directory and Grain Tables".
const (
	sectorSize = 512

	// grainSectors and tableEntries are what VMware's products write: grains of
	// 64 KiB, 32 MiB a grain table.
	grainSectors = 128
	grainSize    = grainSectors * sectorSize
	tableEntries = 512
	entrySize    = 4 // bytes, in grain directories and tables
	tableSectors = tableEntries * entrySize / sectorSize

	descriptorAt      = 1  // sector
	descriptorSectors = 20 // what VMware's products and QEMU reserve

	// streamOverhead is where the grains of a streamOptimized file start: the
	// smallest multiple of a grain behind the descriptor.
	streamOverhead = grainSectors

	// maxSectors is how many sectors 32-bit entries reach: 2 TiB.
	maxSectors = 1 << 32
)

// The header of a sparse extent (SparseExtentHeader).
const (
	headerMagic = "KDMV"
	cowdMagic   = "COWD" // "ESX Server Sparse Extents"

	// directoryAtEnd in the place of the grain directory says that the header is
	// repeated in a footer, which knows the place.
	directoryAtEnd = 1<<64 - 1

	compressionNone    = 0
	compressionDeflate = 1 // RFC 1950: zlib's framing

	// lineEnds shows whether a transfer as text damaged the file.
	lineEnds   = "\n \r\n"
	lineEndsAt = 73 // bytes, in the header
)

// Flags of the header.
const (
	flagLineEnds       = 1 << 0
	flagRedundant      = 1 << 1 // there is a second grain directory
	flagZeroGrains     = 1 << 2 // an entry of zeroGrain stands for zeros
	flagCompressed     = 1 << 16
	flagMarkers        = 1 << 17
	incompatibleFlags  = 0xffff0000 // those that change where things are
	zeroGrain          = 1          // a grain table's entry
	versionSparse      = 1
	versionStream      = 3 // ESXi takes no other for streamOptimized
	maxVersion         = 3
	maxDescriptorBytes = 1<<20 - 1 // QEMU reads no more
)

// Markers of streamOptimized files ("Stream-Optimized Compressed Sparse
// Extents"): value (8 bytes), size (4 bytes), then either size bytes of a grain,
// of which the value is the first sector, or, where the size is 0, a type.
const (
	markerEndOfStream = 0
	markerTable       = 1
	markerDirectory   = 2
	markerFooter      = 3

	grainHeaderSize  = 12 // value and size
	markerHeaderSize = 16 // value, size and type
)

// What readers accept.
const (
	maxDirectory    = 1 << 20     // entries; 32 TiB with the usual sizes
	maxTableEntries = cowdEntries // hosted ones have 512
	maxGrain        = 1 << 21     // sectors, QEMU's limit
	maxPackedGrain  = 4 << 10     // sectors of a grain that is compressed: 2 MiB, decoded in memory
	cowdEntries     = 4096        // entries of a grain table of ESX
	maxCapacity     = 1 << 50     // sectors; sums of sizes stay within an int64
	noParent        = 0xffffffff
)
