// Package squashfs plans and reads squashfs filesystems, version 4.0.
//
// What enters [Plan]: a rootfs, as an [image.Tree]. What leaves: the extent map
// of a filesystem that holds it. Its data blocks are stored, not compressed, so
// that file content is referenced and never copied; holes take no space.
//
// What enters [Pack]: the same, and a spool. What leaves: the map of a squashfs
// that is really compressed. It refers to the compressed blocks in the spool.
//
// What enters [Open]: the bytes of a squashfs, compressed or not. What leaves:
// an [image.Tree] whose files are extents of those bytes.
//
// A planned squashfs has no fragments: a stored block takes exactly its bytes,
// so that packing the ends of files together would save nothing. Metadata is
// stored too. Deflated it would take a third: of a Debian of 420 MB, 0.3 MB
// instead of 0.9 MB. But its bytes would depend on the version of a compressor,
// and a map is deflated as a whole where it is kept. The compressor that the
// superblock then names is never used; it is gzip, which every kernel with
// squashfs has.
//
// Specification: the Linux kernel's Documentation/filesystems/squashfs.rst and,
// where it is silent, fs/squashfs/squashfs_fs.h and the behaviour of
// squashfs-tools 4.5. All integers are little-endian.
package squashfs
