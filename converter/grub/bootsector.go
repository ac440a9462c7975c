package grub

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// BootCodeSize is how much of sector 0 is boot code, in bytes; the disk's
// signature and partition table follow (UEFI, "Legacy Master Boot Record").
const BootCodeSize = 440

// boot.img (include/grub/i386/pc/boot.h).
const (
	bootKernelSector = 0x5c // u64, the LBA of the core image
	bootDriveCheck   = 0x66 // a two-byte jump over the check of the BIOS's drive number
	bootSignature    = 0x1fe
)

// BootSector returns the [BootCodeSize] bytes of boot code that load the core
// image from the sector coreLBA of the same disk.
//
// As grub-bios-setup does for hard disks, it turns on the code that corrects a
// drive number which the BIOS passed wrong.
func BootSector(kit Kit, coreLBA uint64) ([]byte, error) {
	file, err := kit.readSector(fileBoot)
	if err != nil {
		return nil, fmt.Errorf("make the GRUB boot sector: %w", err)
	}
	if !bytes.Equal(file[bootSignature:], []byte{0x55, 0xaa}) || file[bootDriveCheck] != jmpShort {
		return nil, fmt.Errorf("make the GRUB boot sector: %s is not GRUB's: it has % x at %#x and % x at %#x",
			fileBoot, file[bootDriveCheck:bootDriveCheck+2], bootDriveCheck, file[bootSignature:], bootSignature)
	}
	code := bytes.Clone(file[:BootCodeSize])
	binary.LittleEndian.PutUint64(code[bootKernelSector:], coreLBA)
	code[bootDriveCheck], code[bootDriveCheck+1] = nop, nop
	return code, nil
}

// x86 instructions (Intel SDM, volume 2).
const (
	jmpShort = 0xeb
	nop      = 0x90
)
