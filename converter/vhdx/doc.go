// Package vhdx writes and reads Hyper-V's virtual hard disks, version 2.
//
// What enters [Write]: the extent map of a disk. What leaves: the extent map of a
// VHDX file, dynamic, fixed or differencing, whose content is referenced, never
// copied. What enters [Open]: the bytes of a VHDX file. What leaves: the extent
// map of its disk, over those bytes. [OpenOver] reads differencing files too,
// over the parent that it is given.
//
// Specification: Microsoft, [MS-VHDX]. All integers are little-endian, all
// checksums CRC-32C.
package vhdx
