package gpt

// On-disk values, from UEFI 2.10, section 5. Positions and counts in blocks
// unless they say otherwise.
const (
	blockSize = 512 // bytes

	headerBlock  = 1 // the primary header; the MBR is block 0, the backup header the last
	entriesBlock = 2 // the primary entries

	revision   = 0x00010000
	headerSize = 92  // bytes, of a header of that revision
	entryCount = 128 // the fewest that fill the 16 KiB that must be reserved
	entrySize  = 128 // bytes

	entriesBlocks = entryCount * entrySize / blockSize
	tableBlocks   = 1 + entriesBlocks            // header and entries
	firstUsable   = entriesBlock + entriesBlocks // the first block after the primary table
	maxNameUnits  = 36                           // UTF-16 code units of a partition's name
	nameOffset    = 56                           // bytes into an entry
	signature     = "EFI PART"
)

// The protective MBR ("Legacy MBR" and "Protective MBR").
const (
	maxBootCode  = 440 // bytes; the disk signature follows
	mbrPartition = 446 // bytes into the MBR: the first of four partition records
	mbrSignature = 510 // bytes into the MBR: 0x55, 0xaa
	mbrTypeGPT   = 0xee
	maxMBRBlocks = 0xffffffff
)
