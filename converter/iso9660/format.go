package iso9660

// The volume (ECMA-119, 6.2 and 8). Positions in blocks.
const (
	blockSize = 2048 // bytes; of a logical sector, and here of a logical block too

	systemAreaBlocks = 16
	primaryBlock     = systemAreaBlocks
	bootRecordBlock  = 17 // El Torito, section 2.0: always here
	catalogBlock     = 20

	// BIOSImageBlock is where the boot image for a BIOS stands, in blocks of
	// 2048 bytes, so that boot code that names blocks can be made beforehand.
	BIOSImageBlock = 21

	// paddingBlocks end every volume: a drive that reads a CD written in one
	// go fails on its last blocks. As many as mkisofs and xorriso add.
	paddingBlocks = 150

	maxBlocks = 1<<32 - 1
)

// Volume descriptors (ECMA-119, 8.1 to 8.5). Positions in bytes.
const (
	descriptorBoot          = 0
	descriptorPrimary       = 1
	descriptorSupplementary = 2
	descriptorEnd           = 255

	standardIdentifier = "CD001"
	descriptorVersion  = 1

	descriptorVersionAt   = 6
	systemIdentifierAt    = 8
	volumeIdentifierAt    = 40
	volumeSpaceAt         = 80
	escapeSequencesAt     = 88 // supplementary
	volumeSetSizeAt       = 120
	volumeSequenceAt      = 124
	logicalBlockSizeAt    = 128
	pathTableSizeAt       = 132
	pathTableLAt          = 140
	pathTableMAt          = 148
	rootRecordAt          = 156
	volumeSetIdentifierAt = 190 // and publisher, preparer, application: 128 bytes each
	fileIdentifiersAt     = 702 // copyright, abstract, bibliographic: 37 bytes each
	creationAt            = 813 // and modification, expiration, effective: 17 bytes each
	modificationAt        = 830
	expirationAt          = 847
	effectiveAt           = 864
	structureVersionAt    = 881
	structureVersion      = 1
	identifiersEnd        = 813

	systemIdentifierLength = 32 // bytes; the volume identifier's too
	volumeIdentifierLength = 32

	systemIdentifier = "LINUX"
)

// A directory record (ECMA-119, 9.1), in bytes. The identifier, a byte that makes
// its end even, and the system use field follow.
const (
	recordLengthAt     = 0
	recordAttributesAt = 1 // blocks of extended attributes before the content
	recordBlockAt      = 2
	recordSizeAt       = 10
	recordDateAt       = 18
	recordFlagsAt      = 25
	recordUnitAt       = 26 // blocks of a file unit; not 0 where interleaved
	recordGapAt        = 27
	recordSequenceAt   = 28
	recordNameLengthAt = 32
	recordNameAt       = 33

	maxRecord = 254 // bytes: lengths are even and fit a byte

	flagDirectory   = 0x02
	flagAssociated  = 0x04
	flagMultiExtent = 0x80 // not the last section of the file

	selfName   = "\x00" // the identifier of a directory in itself (ECMA-119, 6.8.2.2)
	parentName = "\x01" // and of its parent

	// maxSection is the content of a file section in bytes: the largest whole
	// number of blocks that the record's 32 bits can tell.
	maxSection = 1<<32 - blockSize
)

// Identifiers (ECMA-119, 7.5.1 and 7.6.3).
const (
	maxFileIdentifier      = 30 // name and extension, without dot and version
	maxExtension           = 8  // ours: what is longer counts as part of the name
	maxDirectoryIdentifier = 31
	separator              = "." // between name and extension; directories have none
	fileVersion            = ";1"
)

// Path tables (ECMA-119, 9.4), in bytes. The identifier follows, padded to an
// even length.
const (
	pathRecordSize = 8
	maxPathParent  = 1<<16 - 1 // number of a directory that others are in
)

// System use fields (SUSP 5, RRIP 4.1): a signature of two bytes, the length and
// the version, which is 1.
const (
	fieldHeader = 4
	maxField    = 255

	fieldContinuation = "CE"
	fieldPadding      = "PD"
	fieldSharing      = "SP"
	fieldEnd          = "ST"
	fieldExtensions   = "ER"

	fieldPOSIX     = "PX"
	fieldDevice    = "PN"
	fieldSymlink   = "SL"
	fieldName      = "NM"
	fieldTimes     = "TF"
	fieldChild     = "CL"
	fieldParent    = "PL"
	fieldRelocated = "RE"
	fieldSparse    = "SF"
	fieldZisofs    = "ZF"

	continuationSize = 28
	posixSize        = 44
	oldPosixSize     = 36 // before RRIP 1.12, without the serial number
	deviceSize       = 20
	nameHeader       = 5
	symlinkHeader    = 5
	timesHeader      = 5

	sharingCheck = "\xbe\xef"

	flagContinue = 0x01 // of names, symbolic links and their components
	flagCurrent  = 0x02 // "."
	flagParent   = 0x04 // ".."
	flagRoot     = 0x08 // "/", of components alone

	timeCreation = 0x01 // of times, each there where its flag is set, in this order
	timeModify   = 0x02
	timeLongForm = 0x80 // 17 bytes each instead of 7
)

// How Rock Ridge makes itself known (RRIP 4.3).
const (
	extensionIdentifier  = "IEEE_P1282"
	extensionDescription = "THE IEEE P1282 PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS."
	extensionSource      = "PLEASE CONTACT THE IEEE STANDARDS DEPARTMENT, PISCATAWAY, NJ, USA FOR THE P1282 SPECIFICATION."
	extensionVersion     = 1
)

// What Linux takes: names (NAME_MAX) and targets of symbolic links (PATH_MAX,
// with the zero byte after it), in bytes.
const (
	maxName   = 255
	maxTarget = 4095
)

// Joliet ("SVD Escape Sequences", "Directory Identifiers").
const (
	jolietEscape  = "%/E" // UCS-2, level 3
	maxJolietName = 64    // UCS-2 characters
)

// El Torito, sections 2.1 to 2.4, in bytes.
const (
	bootSystemIdentifier = "EL TORITO SPECIFICATION"
	bootCatalogAt        = 71

	catalogEntrySize    = 32
	catalogValidation   = 0x01
	catalogBootable     = 0x88
	catalogSection      = 0x90
	catalogLastSection  = 0x91
	platformX86         = 0x00
	platformUEFI        = 0xef
	noEmulation         = 0
	biosLoadSectors     = 4 // of 512 bytes: what a BIOS loads, which loads the rest
	virtualSector       = 512
	maxVirtualSectors   = 1<<16 - 1
	toTheEndOfTheVolume = 0 // sectors; UEFI 2.10, section 13.3.2.1
)

// The boot information table that mkisofs introduced (its manual, "EL TORITO
// BOOT INFORMATION TABLE"): where the boot image finds itself.
const (
	bootInfoAt    = 8
	bootInfoSize  = 56
	bootInfoSumAt = 64 // the checksum is over what follows
)

// A disk's sector 0 (UEFI 2.10, section 5.2.1), in bytes.
const (
	diskSector       = 512
	maxBootCode      = 440
	diskSignatureAt  = 440
	partitionsAt     = 446
	partitionSize    = 16
	bootSignatureAt  = 510
	partitionActive  = 0x80
	partitionVolume  = 0xcd // what xorriso gives the partition of the volume itself
	partitionUEFI    = 0xef
	maxDiskSectors   = 1<<32 - 1
	sectorsPerBlock  = blockSize / diskSector
	systemAreaLength = systemAreaBlocks * blockSize
)
