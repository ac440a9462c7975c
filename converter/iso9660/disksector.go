package iso9660

import "github.com/cloudlets/cloudlets/converter/container"

// diskSector returns sector 0, for a volume that is written to a disk: boot code,
// and a partition table with the volume and the EFI system partition. UEFI knows
// such a table as well as one of GPT, whose copy at the end of the disk would be
// wrong on every disk that is larger than the volume.
func (v *volume) diskSector() []byte {
	boot := v.boot()
	p := make([]byte, diskSector)
	copy(p, boot.BootCode)
	little.PutUint32(p[diskSignatureAt:], boot.DiskID)
	volumeEnd := v.end * sectorsPerBlock
	if boot.UEFI != nil {
		volumeEnd = v.uefi * sectorsPerBlock // partitions must not overlap
		sectors := container.DivideUp(boot.UEFI.Size(), diskSector)
		copy(p[partitionsAt+partitionSize:], partition(0, partitionUEFI, volumeEnd, sectors))
	}
	copy(p[partitionsAt:], partition(partitionActive, partitionVolume, 0, volumeEnd))
	p[bootSignatureAt], p[bootSignatureAt+1] = 0x55, 0xaa
	return p
}

// partition returns a partition record (UEFI 2.10, table 5.2). Cylinders, heads
// and sectors are those of a place that they cannot tell.
func partition(status, kind byte, start, sectors int64) []byte {
	p := make([]byte, partitionSize)
	copy(p, []byte{status, 0xfe, 0xff, 0xff, kind, 0xfe, 0xff, 0xff})
	if start == 0 {
		copy(p[1:], []byte{0, 1, 0}) // the first sector
	}
	little.PutUint32(p[8:], uint32(min(start, maxDiskSectors)))
	little.PutUint32(p[12:], uint32(min(sectors, maxDiskSectors)))
	return p
}
