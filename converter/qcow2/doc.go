// Package qcow2 writes and reads QEMU's copy-on-write disk images, version 2.
//
// What enters [Write]: the extent map of a disk. What leaves: the extent map of
// a qcow2 version 3 file with that disk, whose content is referenced, never
// copied. What enters [Open]: the bytes of a qcow2 file of version 2 or 3. What
// leaves: the extent map of its disk, over those bytes.
//
// A qcow2 file refers to its parts only by their position in it, and the reader
// refuses whatever names another file. [OpenOver] reads files over a backing file,
// which it is given.
//
// Specification: docs/interop/qcow2.rst of QEMU. All integers are big-endian.
package qcow2
