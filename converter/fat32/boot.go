package fat32

import (
	"encoding/binary"

	"github.com/cloudlets/cloudlets/extent"
)

// writeReserved appends the reserved sectors: the boot sector and the FSInfo
// sector, and a copy of both.
func writeReserved(b *extent.Builder, g geometry, opts Options, used int64) {
	boot, info := encodeBoot(g, opts), encodeInfo(g, used)
	for _, at := range []int64{0, backupSector} {
		b.ZeroTo(at * sectorSize)
		b.Inline(boot)
		b.ZeroTo((at + infoSector) * sectorSize)
		b.Inline(info)
	}
	b.ZeroTo(g.reserved * sectorSize)
}

// encodeBoot returns the boot sector with the BIOS parameter block.
func encodeBoot(g geometry, opts Options) []byte {
	le := binary.LittleEndian
	p := make([]byte, sectorSize)
	copy(p[0:], []byte{0xeb, 0x58, 0x90}) // jump to the code at 0x5a
	copy(p[3:], "MSWIN4.1")               // the OEM name that most old drivers expect
	le.PutUint16(p[11:], sectorSize)
	p[13] = byte(g.clusterSectors)
	le.PutUint16(p[14:], uint16(g.reserved))
	p[16] = fatCount
	// 17, 19, 22: root entries, sectors and FAT size of FAT12 and FAT16; 0 here.
	p[21] = mediaFixed
	le.PutUint16(p[24:], 63)  // sectors a track, and
	le.PutUint16(p[26:], 255) // heads: the usual geometry of a disk without one
	// 28: sectors before the partition, which matter to BIOS boot code only.
	le.PutUint32(p[32:], uint32(g.sectors))
	le.PutUint32(p[36:], uint32(g.fatSectors))
	// 40, 42: flags: all FATs are kept alike; version 0.0.
	le.PutUint32(p[44:], firstCluster) // the root directory
	le.PutUint16(p[48:], infoSector)
	le.PutUint16(p[50:], backupSector)
	p[64] = bootDrive
	p[66] = extendedBoot
	le.PutUint32(p[67:], opts.Serial)
	label := makeLabel(opts.Label)
	copy(p[71:], label[:])
	copy(p[82:], "FAT32   ")
	copy(p[90:], []byte{0xcd, 0x18, 0xf4, 0xeb, 0xfd}) // int 0x18 (the BIOS tries the next disk), then halt
	le.PutUint16(p[signatureAt:], bootSignature)
	return p
}

// encodeInfo returns the FSInfo sector.
func encodeInfo(g geometry, used int64) []byte {
	le := binary.LittleEndian
	p := make([]byte, sectorSize)
	le.PutUint32(p[0:], infoLead)
	le.PutUint32(p[infoStructAt:], infoStruct)
	free := g.clusters - used
	next := uint32(firstCluster + used)
	if free == 0 {
		next = infoUnknown
	}
	le.PutUint32(p[infoStructAt+4:], uint32(free))
	le.PutUint32(p[infoStructAt+8:], next)
	le.PutUint32(p[infoTrailAt:], infoTrail)
	return p
}
