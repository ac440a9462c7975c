// Package ext4 plans ext4 filesystems, and reads ext2, ext3 and ext4.
//
// To read, [Open] takes the bytes of a filesystem and gives its files, whose
// content is extents of those bytes. The files named read… are that half.
//
// To plan, a rootfs enters, as an [image.Tree], and [Options]. What leaves is the
// extent map of a filesystem that holds it — file content as source extents,
// metadata as inline bytes, free space as zero extents. No file content is read
// and no clock or random source is consulted: the same input gives the same
// bytes on every machine.
//
// The filesystem has the features that mke2fs of Debian 12 gives it (see
// format.go), so it boots under GRUB 2.06, grows online with resize2fs and is
// clean for e2fsck. Its blocks stand in this order:
//
//   - what each group needs, gathered at the front of each flex group:
//     superblock and descriptors, bitmaps, inode tables;
//   - directories, long symbolic links and attribute blocks, in tree order;
//   - the journal;
//   - file content, in the order of [image.Inode.Order], each file followed by
//     the blocks of its extent tree, if it needs any.
//
// Specification: the Linux kernel's Documentation/filesystems/ext4, called
// "ext4 doc" in comments, and where it is silent the behaviour of e2fsprogs 1.47.
package ext4
