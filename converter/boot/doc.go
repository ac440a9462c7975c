// Package boot holds what all outputs that boot share, disks and live volumes
// alike: which kernels and bootloaders an image has, what menus say, and what
// stands on an EFI system partition.
//
// What enters: the rootfs of an image, and the tree of a boot kit where there is
// one. What leaves: kernels, bootloaders, and trees of files for them. Of the
// trees' files only those of bootloaders, and headers of EFI programs, are ever read.
//
// Sources: UEFI 2.10, section 3.5; UAPI Boot Loader Specification; GNU GRUB
// manual; Debian Policy 5.6.12 (versions).
package boot
