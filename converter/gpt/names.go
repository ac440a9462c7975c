package gpt

// Partition types.
var (
	// TypeESP is the EFI system partition (UEFI 2.10, table 5.7).
	TypeESP = GUID{0xc1, 0x2a, 0x73, 0x28, 0xf8, 0x1f, 0x11, 0xd2, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b}
	// TypeBIOSBoot holds GRUB's core image on disks booted by a BIOS (GRUB
	// manual, section 3.4; it spells "Hah!IdontNeedEFI" on disk).
	TypeBIOSBoot = GUID{0x21, 0x68, 0x61, 0x48, 0x64, 0x49, 0x6e, 0x6f, 0x74, 0x4e, 0x65, 0x65, 0x64, 0x45, 0x46, 0x49}
	// TypeLinuxRootX8664 is the root filesystem of an x86-64 system (UAPI
	// Discoverable Partitions Specification).
	TypeLinuxRootX8664 = GUID{0x4f, 0x68, 0xbc, 0xe3, 0xe8, 0xcd, 0x4d, 0xb1, 0x96, 0xe7, 0xfb, 0xca, 0xf9, 0x84, 0xb7, 0x09}
	// TypeLinuxFilesystem is any Linux filesystem (UAPI Discoverable Partitions
	// Specification, "Generic Linux Data Partition").
	TypeLinuxFilesystem = GUID{0x0f, 0xc6, 0x3d, 0xaf, 0x84, 0x83, 0x47, 0x72, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4}
)

// Attributes are the attribute bits of a partition. Bits 48 to 63 belong to the
// partition's type.
type Attributes uint64

// Attribute bits.
const (
	// AttributeRequired marks a partition the platform needs (UEFI 2.10, table 5.8).
	AttributeRequired Attributes = 1 << 0
	// AttributeLegacyBIOSBootable marks the partition a BIOS boot loader takes
	// for active (UEFI 2.10, table 5.8).
	AttributeLegacyBIOSBootable Attributes = 1 << 2
	// AttributeGrowFileSystem asks systemd to grow the filesystem to the size
	// of its partition when it mounts it (UAPI Discoverable Partitions
	// Specification, "Partition Flags").
	AttributeGrowFileSystem Attributes = 1 << 59
)
