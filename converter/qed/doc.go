// Package qed writes and reads QED disks, which QEMU had before qcow2 version 3.
//
// What enters [Write]: the extent map of a disk. What leaves: the extent map of
// a QED file with that disk, whose content is referenced, never copied. What
// enters [Open]: the bytes of such a file. What leaves: the extent map of its
// disk, over those bytes. A file with a backing file is refused.
//
// QEMU keeps QED for old disks only, and OpenStack takes none: prefer qcow2.
//
// Specification: docs/interop/qed_spec.rst of QEMU. All integers are
// little-endian.
package qed
