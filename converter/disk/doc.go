// Package disk plans whole bootable disks.
//
// What enters: the rootfs of an image, an opener for its blobs, and [Options].
// What leaves: the extent map of a disk that boots with UEFI and with a BIOS,
// as far as the bootloader files at hand allow, and a [Report] that says so.
// Of the image's files only those of bootloaders, and headers of EFI programs, are
// ever read. Nothing else is
// consulted: the same input gives the same bytes on every machine.
//
// Every disk has the same layout, a GUID partition table with, aligned to 1 MiB:
//
//  1. BIOS boot partition, 1 MiB: GRUB's core image, made by converter/grub and
//     loaded by the boot code in sector 0;
//  2. EFI system partition, FAT32: the bootloader for UEFI as
//     EFI/BOOT/BOOTX64.EFI, and the generated menu;
//  3. root partition, ext4, last so that it can grow, with the discoverable type
//     for x86-64 and the flag that asks systemd to grow the filesystem.
//
// The root filesystem holds the tree and nothing else, so all generated boot
// configuration is on the ESP. There is one GRUB menu for both firmwares, /grub/grub.cfg:
//
//   - GRUB for BIOS finds it as its prefix, "(,gpt2)/grub": partition 2 of the
//     disk it was started from, whatever other disks hold;
//   - GRUB for UEFI looks where its distribution built it to look, such as
//     /EFI/debian, and finds a redirection there;
//   - systemd-boot reads no ext4: it gets loader entries, and kernels and
//     initrds as references to the same content as in the rootfs.
//
// An image whose kernels are unified kernel images boots those (UAPI Group, "Unified
// Kernel Image"). Images that it has, in a directory of modules or where the ESP is
// mounted, are copied to /EFI/Linux byte for byte, and started by its shim, its
// systemd-boot or the firmware; beside a GRUB with kernels of its own they only
// stand there. Where it has none but says layout=uki in kernel-install's
// configuration and has systemd's stub, they are made, with kernels and initrds as
// references. Those are not signed.
//
// The menu boots what the image links to as its kernel (/vmlinuz on Debian),
// then every /boot/vmlinuz-*, the newest version first. The image's own
// /boot/grub/grub.cfg is not used: it names the disk it was made on. What a
// system wants to add stands in /boot/grub/custom.cfg, read last.
//
// Sources: UEFI 2.10, sections 3.5 and 5; UAPI Boot Loader Specification and
// Discoverable Partitions Specification; GNU GRUB manual.
package disk
