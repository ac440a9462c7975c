// Package live plans live volumes: ISO 9660 images that boot an image without
// being installed, from a CD and from a disk they were written to.
//
// What enters [Plan]: the rootfs of an image whose initrd knows a live system, an
// opener for its blobs, and [Options]. What leaves: the extent map of the volume
// and a [Report]. What enters [PlanData]: any rootfs. What leaves: a volume that
// holds its files and boots nothing.
//
// An initrd is made in the running system, by its own tools, so an image can only
// be live that was made for it: it has a live system installed ([Systems]), and
// with it an initrd that looks for its root filesystem on a volume. What each of
// them expects where is written down in one table, system.go.
//
// The volume has the root filesystem as a squashfs, the kernels and initrds, and
// one GRUB menu, /boot/grub/grub.cfg, for both firmwares:
//
//   - a BIOS starts GRUB's boot image for CDs, made by converter/grub; from a
//     disk, GRUB's boot sector starts the same core image;
//   - UEFI starts EFI/BOOT/BOOTX64.EFI on an EFI system partition at the end of
//     the volume, which El Torito and the partition table both show. GRUB finds
//     the volume by a file that no other has, /.disk/ID.uuid.
//
// Sources: live-boot(7); dracut.cmdline(7), "Booting live images"; casper(7); El
// Torito 1.0; UEFI 2.10, section 13.3.2.1.
package live
