// Package gpt plans and reads disks divided by a GUID partition table.
//
// What enters [Plan]: a [Layout], the partitions and their extent maps. What
// leaves: the extent map of the disk: protective MBR, primary and backup table,
// and the partitions' maps at their places. [Layout.Place] tells the places
// before there is any content. What enters [Read]: the bytes of a disk. What
// leaves: its partitions.
//
// Specification: UEFI 2.10, section 5 ("GUID Partition Table Disk Layout"). All
// integers are little-endian, and a logical block has 512 bytes.
package gpt
