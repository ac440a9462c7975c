// Package vmlinux takes the kernel out of its boot image, for machines that load
// it without a decompressor: Firecracker, and other users of PVH.
//
// What enters: a kernel as it stands in /boot — an x86 bzImage, an ELF vmlinux, an
// arm64 Image, as it is, in gzip, or in a compressed EFI image — as an
// io.ReaderAt. What leaves: the uncompressed kernel in memory, an ELF file for
// x86-64 or an Image for arm64. It is content of its own, and no reference to the
// boot image.
//
// Specifications: Documentation/arch/x86/boot.rst ("Details of Header Fields"),
// Documentation/arch/arm64/booting.rst ("The kernel image header"), and
// drivers/firmware/efi/libstub/zboot-header.S of Linux.
package vmlinux
