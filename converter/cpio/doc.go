// Package cpio plans cpio archives in the form that Linux unpacks as its first
// root filesystem, the initramfs: "newc", with ASCII headers and without
// checksums.
//
// What enters: a rootfs, as an [image.Tree]. What leaves: the extent map of an
// archive that holds it. File content is referenced, never copied; a hole becomes
// zeros.
//
// The archive is not compressed: the kernel unpacks it as it is, and whole
// outputs are compressed elsewhere.
//
// Specification: the Linux kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst, and where it is
// silent init/initramfs.c and GNU cpio 2.13.
package cpio
