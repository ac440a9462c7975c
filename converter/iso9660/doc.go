// Package iso9660 plans ISO 9660 volumes with Rock Ridge names, and reads them:
// CDs, and the images that installers and live systems come as.
//
// What enters [Plan]: a tree, and what firmware is to start from the volume. What
// leaves: the extent map of the volume. The content of files is referenced, never
// copied; files with several names are stored once. Extended attributes have no
// place in Rock Ridge and are left out, as are fractions of seconds.
//
// What enters [Open]: the bytes of a volume. What leaves: its tree, whose content
// refers to those bytes.
//
// A planned volume stands like this, in blocks of 2048 bytes:
//
//	 0  system area: boot code and partition table for disks, or zeros
//	16  volume descriptors: primary, boot record, Joliet, end
//	20  boot catalog
//	21  boot image for a BIOS
//	    path tables; directories, each with its continuation areas
//	    content of files, in the order of their content in the layers
//	    EFI system partition
//	    padding, for drives that read ahead of the end
//
// Directories are as deep as they are in the tree. ECMA-119 (6.8.2.1) allows
// eight levels, and Rock Ridge can move deeper ones to another place; but Linux,
// GRUB and all that read Rock Ridge follow any depth, as xorriso relies on too,
// and a moved directory is one more thing to get wrong.
//
// Specifications: ECMA-119, 2nd edition (ISO 9660:1988), interchange level 3;
// System Use Sharing Protocol 1.12 ("SUSP"); Rock Ridge Interchange Protocol 1.12
// ("RRIP", IEEE P1282); Joliet Specification 1.0; El Torito Bootable CD-ROM
// Format Specification 1.0; UEFI 2.10, section 13.3.2.1.
package iso9660
