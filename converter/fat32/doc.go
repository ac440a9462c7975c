// Package fat32 plans FAT32 filesystems, EFI system partitions above all, and
// reads FAT12, FAT16 and FAT32.
//
// To read, [Open] takes the bytes of a filesystem and gives its files, whose
// content is extents of those bytes.
//
// To plan, there enters a tree of directories and regular files. What leaves is the extent
// map of a filesystem that holds it. The content of files is referenced, never
// copied. Owners, permissions and extended attributes have no place on FAT and
// are left out; a file with several names is stored once for each.
//
// Specification: Microsoft Extensible Firmware Initiative FAT32 File System
// Specification, version 1.03 ("the specification" in this package), which UEFI
// 2.10, section 13.3, builds on. All integers are little-endian.
package fat32
