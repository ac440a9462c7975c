package qcow2

// On-disk values, from docs/interop/qcow2.rst, "Header" and "Header extensions".
const (
	magic = 0x514649fb // "QFI" and 0xfb

	version2 = 2
	version3 = 3

	headerLengthV2 = 72  // bytes; version 2 has no header_length field
	headerLengthV3 = 104 // bytes; the smallest header of version 3

	// maxHeaderLength is how much of a header is read: all fields the
	// specification knows, compression_type at byte 104 being the last.
	maxHeaderLength = 112

	minClusterBits = 9  // 512 bytes
	maxClusterBits = 21 // 2 MiB, QEMU's limit
)

// Header extension types.
const (
	extensionEnd           = 0x00000000
	extensionBackingFormat = 0xe2792aca
	extensionFeatureNames  = 0x6803f857
	extensionDataFile      = 0x44415441
	extensionEncryption    = 0x0537be77

	extensionHeaderSize = 8 // type and length, 4 bytes each
)

// Where version 2 and 3 say which file they leave content to: a name without an
// end, in the first cluster.
const (
	backingOffset  = 8  // u64; 0 is none
	backingLength  = 16 // u32
	maxBackingName = 1023

	// backingFormat is what the parent is that we name: a digest is that of the
	// raw disk.
	backingFormat = "raw"
)

// Incompatible feature bits: a reader that does not know one must refuse.
const (
	incompatibleDirty       = 1 << 0 // refcounts may be stale; the disk is not
	incompatibleCorrupt     = 1 << 1
	incompatibleDataFile    = 1 << 2
	incompatibleCompression = 1 << 3 // a compression type other than zlib
	incompatibleExtendedL2  = 1 << 4
)

// Parts of L1 and L2 entries ("Cluster mapping").
const (
	entrySize = 8 // bytes, in L1, L2 and refcount tables

	offsetMask      = 0x00fffffffffffe00 // L1 and L2: bits 9-55, a file offset
	flagCopied      = 1 << 63            // L1 and L2: the refcount is exactly one
	flagCompressed  = 1 << 62            // L2
	flagZero        = 1 << 0             // L2, from version 3: reads as zeros
	maxHostOffset   = 1 << 56            // offsets have 56 bits
	sectorSize      = 512
	refcountOrder   = 4 // 16-bit refcounts, the only width version 2 has
	refcountSize    = 1 << refcountOrder / 8
	maxRefcountBits = 6 // as an order: 64-bit refcounts
)

// Limits of QEMU (block/qcow2.h: QCOW_MAX_L1_SIZE, QCOW_MAX_REFTABLE_SIZE): it
// opens no image whose tables are larger.
const (
	maxL1Size            = 32 << 20 // bytes
	maxRefcountTableSize = 8 << 20  // bytes
)
