// Package parallels writes and reads the expandable disks of Parallels Desktop
// and Virtuozzo (.hdd, .hds).
//
// What enters [Write]: the extent map of a disk. What leaves: the extent map of
// such a file with that disk, whose content is referenced, never copied. What
// enters [Open]: the bytes of such a file, with either magic. What leaves: the
// extent map of its disk, over those bytes.
//
// Specification: docs/interop/parallels.rst of QEMU. All integers are
// little-endian; places are counted in sectors of 512 bytes.
package parallels
