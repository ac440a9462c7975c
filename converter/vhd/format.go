package vhd

// A file is one of:
//
//	fixed      disk | footer
//	dynamic    footer | header | block allocation table | blocks | footer
//
// A block is a bitmap of its sectors and then the sectors. A differencing file is
// a dynamic one that leaves sectors to its parent.

const sectorSize = 512

// Hard Disk Footer Format.
const (
	footerCookie = "conectix"
	footerSize   = 512
	// oldFooterSize is what Virtual PC wrote before 2004. The missing byte was
	// reserved.
	oldFooterSize = 511

	footerFeatures   = 8  // u32
	footerVersion    = 12 // u32
	footerDataOffset = 16 // u64, of the header; none in fixed files
	footerTimestamp  = 24 // u32, seconds since 2000
	footerCreator    = 28 // 4 characters
	footerCreatorRev = 32 // u32
	footerCreatorOS  = 36 // 4 characters
	footerOriginal   = 40 // u64, bytes
	footerCurrent    = 48 // u64, bytes
	footerGeometry   = 56 // u16 cylinders, u8 heads, u8 sectors
	footerType       = 60 // u32
	footerChecksum   = 64 // u32
	footerID         = 68 // 16 bytes

	featuresReserved = 2 // the one bit that is always set
	formatVersion    = 0x00010000
	noOffset         = 1<<64 - 1
)

// Disk types.
const (
	typeFixed        = 2
	typeDynamic      = 3
	typeDifferencing = 4
)

// Creators, as the footer names them.
const (
	// creatorWindows is what Hyper-V and Azure write. Every reader takes the size
	// in the footer from it: QEMU takes the geometry's for creators that it does
	// not know (block/vpc.c, vpc_open).
	creatorWindows   = "win "
	creatorRevision  = 0x000a0000 // Windows 10
	creatorOSWindows = "Wi2k"

	creatorVirtualPC     = "vpc "
	creatorVirtualServer = "vs  "
	creatorQEMU          = "qemu" // without force_size; with it, "qem2"
	creatorTapdisk       = "tap\x00"
	// tapdiskReversed is the revision of tapdisk whose bitmaps begin with the
	// lowest bit of each byte (libvhd, vhd_bitmap_test).
	tapdiskReversed = 0x00000001
)

// Dynamic Disk Header Format.
const (
	headerCookie = "cxsparse"
	headerSize   = 1024

	headerDataOffset  = 8  // u64; the specification says 32 bits of ones, files have 64
	headerTableOffset = 16 // u64
	headerVersion     = 24 // u32
	headerEntries     = 28 // u32
	headerBlockSize   = 32 // u32, bytes of disk
	headerChecksum    = 36 // u32
	headerParentID    = 40 // 16 bytes
	headerParentName  = 64 // UTF-16
	parentNameSize    = 512
)

// Block Allocation Table.
const (
	entrySize   = 4          // u32, in sectors
	unallocated = 0xffffffff // the block is not in the file

	blockSize = 2 << 20 // the specification's default
	// maxSize is the largest disk that QEMU and Hyper-V open: 2040 GiB.
	maxSize = 2040 << 30
	// maxEntries bounds what is read of a table: that of the largest disk with
	// blocks of 128 KiB.
	maxEntries = maxSize >> 17
)

// checksum returns the ones' complement of the sum of all bytes of p but those of
// the checksum itself, a u32 at at.
func checksum(p []byte, at int) uint32 {
	sum := uint32(0)
	for i, c := range p {
		if i < at || i >= at+4 {
			sum += uint32(c)
		}
	}
	return ^sum
}
