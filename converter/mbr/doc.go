// Package mbr reads MBR partition tables, called DOS or MS-DOS tables by tools.
//
// What enters: the bytes of a disk. What leaves: a [Table] of its primary and
// logical partitions.
//
// There is no specification. The table of block 0 is that of UEFI 2.10, section
// 5.2.1 ("Legacy MBR"); logical partitions are what Linux makes of them
// (block/partitions/msdos.c): a chain of tables in the extended partition, each
// with one partition and where the next table is. Blocks have 512 bytes, and all
// integers are little-endian.
package mbr
