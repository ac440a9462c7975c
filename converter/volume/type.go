package volume

import (
	"fmt"

	"github.com/cloudlets/cloudlets/converter/gpt"
)

// gptTypes are the types of partitions that disks of servers have, from UEFI 2.10,
// table 5.7, and the UAPI Discoverable Partitions Specification.
var gptTypes = map[string]string{
	gpt.TypeESP.String():                   "EFI system",
	gpt.TypeBIOSBoot.String():              "BIOS boot",
	gpt.TypeLinuxFilesystem.String():       "Linux filesystem",
	gpt.TypeLinuxRootX8664.String():        "Linux root (x86-64)",
	"b921b045-1df0-41c3-af44-4c6f280d3fae": "Linux root (arm64)",
	"933ac7e1-2eb4-4f13-b844-0e14e2aef915": "Linux /home",
	"4d21b016-b534-45c2-a9fb-5c16e091fd2d": "Linux /var",
	"3b8f8425-20e0-4f3b-907f-1a25a76f98e8": "Linux /srv",
	"bc13c2ff-59e6-4262-a352-b275fd6f7172": "Linux extended boot",
	"0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": "Linux swap",
	"e6d6d379-f507-44c2-a23c-238f2a3df928": "Linux LVM",
	"a19d880f-05fc-4d3b-a006-743f0f84911e": "Linux RAID",
	"9e1a2d38-c612-4316-aa26-8b49521e5a8b": "PReP boot",
	"e3c9e316-0b5c-4db8-817d-f92df00215ae": "Microsoft reserved",
	"ebd0a0a2-b9e5-4433-87c0-68b6b72699c7": "Microsoft basic data",
	"de94bba4-06d1-4d40-a16a-bfd50179d6ac": "Windows recovery",
}

// gptType names a type of a GPT, by its GUID where nobody has named it.
func gptType(id gpt.GUID) string {
	if name, ok := gptTypes[id.String()]; ok {
		return name
	}
	return id.String()
}

// mbrTypeNames are the types that disks of servers have, as fdisk names them.
var mbrTypeNames = map[byte]string{
	0x01: "FAT12",
	0x04: "FAT16",
	0x06: "FAT16",
	0x07: "HPFS/NTFS/exFAT",
	0x0b: "FAT32",
	0x0c: "FAT32",
	0x0e: "FAT16",
	0x27: "Windows recovery",
	0x82: "Linux swap",
	0x83: "Linux",
	0x8e: "Linux LVM",
	0xef: "EFI system",
	0xfd: "Linux RAID",
}

// mbrType names a type of an MBR, by its number where nobody has named it.
func mbrType(id byte) string {
	if name, ok := mbrTypeNames[id]; ok {
		return name
	}
	return fmt.Sprintf("%#02x", id)
}
