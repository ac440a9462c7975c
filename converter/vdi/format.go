package vdi

// A file is: header | block map | blocks. A block may have some bytes of its own
// before its content.

// Header.
const (
	headerText       = "<<< Oracle VM VirtualBox Disk Image >>>\n"
	headerSignature  = 0x40  // u32
	headerVersion    = 0x44  // u32
	headerLength     = 0x48  // u32, bytes from here on
	headerType       = 0x4c  // u32
	headerMapOffset  = 0x154 // u32, bytes
	headerDataOffset = 0x158 // u32, bytes
	headerSector     = 0x168 // u32, bytes; the geometry before it is no longer used
	headerDiskSize   = 0x170 // u64, bytes
	headerBlockSize  = 0x178 // u32, bytes
	headerBlockExtra = 0x17c // u32, bytes before each block
	headerBlocks     = 0x180 // u32, of the disk
	headerAllocated  = 0x184 // u32, blocks in the file
	headerCreated    = 0x188 // UUID
	headerModified   = 0x198 // UUID
	headerLink       = 0x1a8 // UUID of the parent
	headerParent     = 0x1b8 // UUID of the parent's last change
	headerGeometry   = 0x1c8 // u32 cylinders, heads, sectors, bytes of a sector; 0 is unknown
	headerSize       = 512

	signature = 0xbeda107f
	version   = 0x00010001

	length    = 0x190 // of version 1.1, with the geometry
	minLength = 0x180 // without it
)

// Types of images.
const (
	typeDynamic      = 1
	typeStatic       = 2
	typeUndo         = 3
	typeDifferencing = 4
)

// Block map.
const (
	entrySize   = 4          // u32: the number of the block in the file, or
	unallocated = 0xffffffff // none
	discarded   = 0xfffffffe // none, and zero

	sectorSize = 512
	// blockSize is the one that VirtualBox uses, and the only one that QEMU reads.
	blockSize = 1 << 20

	// maxBlocks bounds what is read of a block map: that of 64 TiB in blocks of
	// 1 MiB.
	maxBlocks = 64 << 20
	// maxSize bounds what is written: 32 TiB. An empty map has no zeros, so it is
	// kept in memory: 4 bytes a block.
	maxSize = 32 << 40
)
