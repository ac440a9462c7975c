package vhdx

import (
	"encoding/binary"
	"hash/crc32"
)

// The first mebibyte is the header section (2.2): an identifier, two headers and
// two region tables, 64 KiB each. What they describe, the log, the metadata, the
// block allocation table and the payload blocks, stands at multiples of 1 MiB.
const (
	mib = 1 << 20

	identifierSignature = "vhdxfile"
	identifierCreator   = 8 // UTF-16, 512 bytes

	headerAt      = 64 << 10
	headerCopyAt  = 128 << 10
	headerSize    = 4 << 10
	regionAt      = 192 << 10
	regionCopyAt  = 256 << 10
	regionSize    = 64 << 10
	headerSection = mib
)

// Header (2.2.2). The one with the higher sequence number counts.
const (
	headerSignature  = "head"
	headerChecksum   = 4  // u32
	headerSequence   = 8  // u64
	headerFileWrite  = 16 // GUID
	headerDataWrite  = 32 // GUID
	headerLogID      = 48 // GUID; zero where the log is empty
	headerLogVersion = 64 // u16
	headerVersion    = 66 // u16
	headerLogLength  = 68 // u32
	headerLogOffset  = 72 // u64

	formatVersion = 1
)

// Region table (2.2.3) and metadata table (2.6.1): a header of 16 or 32 bytes,
// then entries of 32.
const (
	regionSignature    = "regi"
	regionChecksum     = 4 // u32
	regionCount        = 8 // u32
	regionEntries      = 16
	regionEntryOffset  = 16 // u64
	regionEntryLength  = 24 // u32
	regionEntryFlags   = 28 // u32
	regionFlagRequired = 1

	metadataSignature    = "metadata"
	metadataTableSize    = 64 << 10
	metadataCount        = 10 // u16
	metadataEntries      = 32
	metadataEntryOffset  = 16 // u32, from the start of the region
	metadataEntryLength  = 20 // u32
	metadataEntryFlags   = 24 // u32
	metadataFlagUser     = 1
	metadataFlagDisk     = 2
	metadataFlagRequired = 4
	maxMetadataItem      = mib

	tableEntrySize = 32
	maxTableCount  = 2047
)

// guid is a GUID in the order of its text form.
type guid = [16]byte

// GUIDs of regions (2.2.3.2), metadata items (2.6.2) and of the parent locator's
// type (2.6.2.6.1). None is ever changed.
var (
	regionBAT      = guid{0x2d, 0xc2, 0x77, 0x66, 0xf6, 0x23, 0x42, 0x00, 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08}
	regionMetadata = guid{0x8b, 0x7c, 0xa2, 0x06, 0x47, 0x90, 0x4b, 0x9a, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e}

	itemFileParameters = guid{0xca, 0xa1, 0x67, 0x37, 0xfa, 0x36, 0x4d, 0x43, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b}
	itemDiskSize       = guid{0x2f, 0xa5, 0x42, 0x24, 0xcd, 0x1b, 0x48, 0x76, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8}
	itemDiskID         = guid{0xbe, 0xca, 0x12, 0xab, 0xb2, 0xe6, 0x45, 0x23, 0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46}
	itemLogicalSector  = guid{0x81, 0x41, 0xbf, 0x1d, 0xa9, 0x6f, 0x47, 0x09, 0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f}
	itemPhysicalSector = guid{0xcd, 0xa3, 0x48, 0xc7, 0x44, 0x5d, 0x44, 0x71, 0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56}
	itemParentLocator  = guid{0xa8, 0xd3, 0x5f, 0x2d, 0xb3, 0x0b, 0x45, 0x4d, 0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c}

	locatorVHDX = guid{0xb0, 0x4a, 0xef, 0xb7, 0xd1, 0x9e, 0x4a, 0x81, 0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13}
)

// File parameters (2.6.2.1): u32 block size, u32 flags.
const (
	fileParametersSize = 8
	flagLeaveAllocated = 1 // a fixed file
	flagHasParent      = 2
)

// Parent locator (2.6.2.6): a header of 20 bytes, then entries of 12.
const (
	locatorCount       = 18 // u16
	locatorEntries     = 20
	locatorEntrySize   = 12 // u32 key offset, u32 value offset, u16 key length, u16 value length
	locatorKeyLinkage  = "parent_linkage"
	locatorKeyRelative = "relative_path"
)

// Block allocation table (2.5): after the entries of each chunk of payload blocks
// comes one for the chunk's bitmap of sectors.
const (
	entrySize   = 8                  // u64: a state, and where the block stands
	entryState  = 7                  // mask
	entryOffset = 0xfffffffffff00000 // mask, of bytes: whole MiB
	chunkBits   = 1 << 23            // sectors of a bitmap block, which is 1 MiB

	stateNotPresent  = 0 // zeros, or the parent's
	stateUndefined   = 1
	stateZero        = 2
	stateUnmapped    = 3
	stateOldUnmapped = 5 // of a draft; QEMU reads it
	stateFull        = 6
	statePartial     = 7 // the bitmap says which sectors are the parent's

	stateBitmapPresent = 6
)

// Limits (2.6.2.1, 2.6.2.2, 2.6.2.4).
const (
	minBlockSize = mib
	maxBlockSize = 256 * mib
	maxSize      = 64 << 40 // 64 TiB

	sectorSize         = 512
	largeSectorSize    = 4096
	physicalSectorSize = 4096 // what disks have; guests align to it
)

// seal writes the checksum of p, a structure whose u32 at at is it.
func seal(p []byte, at int) { binary.LittleEndian.PutUint32(p[at:], checksum(p, at)) }

// checksum returns the CRC-32C of p with zeros for the checksum at at.
func checksum(p []byte, at int) uint32 {
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, castagnoli, p[:at])
	sum = crc32.Update(sum, castagnoli, make([]byte, 4))
	return crc32.Update(sum, castagnoli, p[at+4:])
}

// chunkRatio returns how many payload blocks share a bitmap block (2.5).
func chunkRatio(blockSize, sector int64) int64 { return chunkBits * sector / blockSize }
