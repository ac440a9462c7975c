// Package qcow writes and reads the first version of QEMU's copy-on-write disks.
//
// What enters [Write]: the extent map of a disk. What leaves: the extent map of
// a qcow file with that disk, whose content is referenced, never copied. What
// enters [Open]: the bytes of such a file. What leaves: the extent map of its
// disk, over those bytes. Files that are encrypted or have a backing file are
// refused.
//
// QEMU keeps the format for old disks only: prefer package qcow2.
//
// Specification: block/qcow.c of QEMU. All integers are big-endian.
package qcow
