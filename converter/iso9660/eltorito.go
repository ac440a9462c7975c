package iso9660

import (
	"bytes"

	"github.com/cloudlets/cloudlets/converter/container"
)

// catalog returns the boot catalog (El Torito, section 2): an entry for the
// first of BIOS and UEFI, and a section for the second.
func (v *volume) catalog() []byte {
	boot := v.boot()
	if boot.BIOS == nil {
		return append(validation(platformUEFI), v.uefiEntry()...)
	}
	p := append(validation(platformX86), bootEntry(BIOSImageBlock, biosLoadSectors)...)
	if boot.UEFI == nil {
		return p
	}
	section := make([]byte, catalogEntrySize)
	section[0], section[1], section[2] = catalogLastSection, platformUEFI, 1 // one entry
	return append(append(p, section...), v.uefiEntry()...)
}

// validation returns the entry that starts a catalog (El Torito, section 2.1).
func validation(platform byte) []byte {
	p := make([]byte, catalogEntrySize)
	p[0], p[1] = catalogValidation, platform
	p[30], p[31] = 0x55, 0xaa
	var sum uint16
	for i := 0; i < len(p); i += 2 {
		sum += little.Uint16(p[i:])
	}
	little.PutUint16(p[28:], -sum)
	return p
}

// uefiEntry returns the entry of the EFI system partition.
func (v *volume) uefiEntry() []byte {
	sectors := container.DivideUp(v.boot().UEFI.Size(), virtualSector)
	if sectors > maxVirtualSectors {
		sectors = toTheEndOfTheVolume
	}
	return bootEntry(v.uefi, uint16(sectors))
}

// bootEntry returns the entry of a boot image (El Torito, section 2.2).
func bootEntry(block int64, sectors uint16) []byte {
	p := make([]byte, catalogEntrySize)
	p[0], p[1] = catalogBootable, noEmulation
	little.PutUint16(p[6:], sectors)
	little.PutUint32(p[8:], uint32(block))
	return p
}

// biosImage returns the boot image for a BIOS with its boot information table.
func (v *volume) biosImage() []byte {
	boot := bytes.Clone(v.boot().BIOS)
	if boot == nil {
		return nil
	}
	table := boot[bootInfoAt : bootInfoAt+bootInfoSize]
	clear(table)
	little.PutUint32(table[0:], primaryBlock)
	little.PutUint32(table[4:], BIOSImageBlock)
	little.PutUint32(table[8:], uint32(len(boot)))
	little.PutUint32(table[12:], bootInfoSum(boot[bootInfoSumAt:]))
	return boot
}

// bootInfoSum adds up 32-bit words, the last filled up with zeros.
func bootInfoSum(p []byte) (sum uint32) {
	for len(p) >= 4 {
		sum += little.Uint32(p)
		p = p[4:]
	}
	var last [4]byte
	copy(last[:], p)
	return sum + little.Uint32(last[:])
}
