// Package vhd writes and reads Virtual Hard Disks: of Virtual PC, Hyper-V's first
// generation, Azure and XenServer. QEMU calls them vpc.
//
// What enters [Write]: the extent map of a disk. What leaves: the extent map of a
// VHD file, fixed, dynamic or differencing, whose content is referenced, never
// copied. What enters [Open]: the bytes of a VHD file. What leaves: the extent
// map of its disk, over those bytes. [OpenOver] reads differencing files too,
// over the parent that it is given.
//
// Specification: Microsoft, "Virtual Hard Disk Image Format Specification",
// version 1.0, 2006. All integers are big-endian.
package vhd
