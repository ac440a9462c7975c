package fat32

// On-disk values, named as in the specification where it names them.
const (
	sectorSize = 512 // bytes; BPB_BytsPerSec

	minReserved   = 32 // sectors before the first FAT; the specification's value for FAT32
	infoSector    = 1  // BPB_FSInfo
	backupSector  = 6  // BPB_BkBootSec; a copy of the FSInfo sector follows
	fatCount      = 2  // BPB_NumFATs
	firstCluster  = 2  // the first cluster of the data region; the root directory here
	mediaFixed    = 0xf8
	bootDrive     = 0x80       // BS_DrvNum: the first hard disk
	extendedBoot  = 0x29       // BS_BootSig: serial, label and type follow
	minClusters   = 65525      // fewer make it FAT16, whatever the boot sector says
	maxClusters   = 0x0ffffff5 // cluster numbers end before the marks of bad clusters and chain ends
	maxSectors    = 1<<32 - 1  // BPB_TotSec32
	minCluster    = 512        // bytes
	maxCluster    = 32 << 10   // bytes; larger ones are not portable
	dataAlignment = 4096       // bytes; where files start, so that they line up with pages and blocks

	fatEntrySize = 4          // bytes
	endOfChain   = 0x0fffffff // also FAT[1]: cleanly unmounted, no disk errors
	fatMedia     = 0x0fffff00 | mediaFixed

	maxFileSize = 1<<32 - 1 // bytes; DIR_FileSize

	noLabel = "NO NAME    "
)

// Directory entries.
const (
	dirEntrySize   = 32      // bytes
	maxDirectory   = 2 << 20 // bytes: 65,536 entries
	attrVolumeID   = 0x08
	attrDirectory  = 0x10
	attrArchive    = 0x20
	attrLongName   = 0x0f
	lastLongEntry  = 0x40 // or'ed to the number of the entry with the end of a long name
	longEntryUnits = 13   // UTF-16 code units in a long name entry
	maxNameUnits   = 255  // UTF-16 code units
	shortBase      = 8    // bytes of a short name before the dot, padded with spaces
	shortExtension = 3    // bytes after it
)

// The FSInfo sector.
const (
	infoLead      = 0x41615252 // FSI_LeadSig
	infoStruct    = 0x61417272 // FSI_StrucSig
	infoTrail     = 0xaa550000 // FSI_TrailSig
	infoStructAt  = 484
	infoTrailAt   = 508
	infoUnknown   = 0xffffffff
	bootSignature = 0xaa55 // at 510 of the boot sector
	signatureAt   = 510
)
