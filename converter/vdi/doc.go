// Package vdi writes and reads VirtualBox's disk images, version 1.1.
//
// What enters [Write]: the extent map of a disk. What leaves: the extent map of a
// VDI file, dynamic or static, whose content is referenced, never copied. What
// enters [Open]: the bytes of a VDI file. What leaves: the extent map of its disk,
// over those bytes.
//
// A differencing file names its parent by a UUID, which says nothing of what the
// parent holds: such files are refused.
//
// Specification: "All about VDIs" in the VirtualBox forum; VBox/Storage/VDICore.h
// of VirtualBox; block/vdi.c of QEMU. All integers are little-endian.
package vdi
