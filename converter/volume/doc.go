// Package volume opens whole disks: their partition tables and the filesystems in
// the partitions, so that a disk can be an image of files and not of blocks.
//
// What enters: the extent map of a disk, and the blobs that it names. What leaves:
// a [Disk] that says what stands where; the files of one partition; or [Files],
// the tree that a system booted from the disk would see, with what its /etc/fstab
// mounts from the same disk. The content of all files are extents of what the
// disk's own map names: nothing is copied.
//
// Partition tables are read by converter/gpt and converter/mbr, filesystems by
// the folder of each. What has no reader here is recognised and stays blocks.
package volume
