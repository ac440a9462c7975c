// Package erofs plans and reads EROFS, the enhanced read-only filesystem of
// Linux.
//
// What enters [Plan]: a rootfs, as an [image.Tree], and [Options]. What leaves:
// the extent map of a filesystem that holds it. File content starts at blocks of
// its own and is referenced, never copied; holes are zero extents, but take
// blocks. Linux 5.4 and later mount it.
//
// What enters [Open]: the bytes of an EROFS, compressed or not. What leaves: an
// [image.Tree] whose files are extents of those bytes.
//
// A planned filesystem stands in this order: the superblock in block 0; inodes,
// the root first, each with its attributes and, where it is short, its target or
// the end of its entries; attributes that several files have; longer directories
// and targets; file content in the order of [image.Inode.Order].
//
// Specification: the Linux kernel's Documentation/filesystems/erofs.rst and
// fs/erofs/erofs_fs.h. All integers are little-endian.
package erofs
