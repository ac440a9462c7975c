// Package vmdk writes and reads VMware's virtual disks.
//
// What enters [Write]: the extent map of a disk. What leaves: the extent map of
// a monolithicSparse file with that disk, whose content is referenced, never
// copied. [WriteStored] gives a streamOptimized file, the form that OVA packages
// hold and ESXi imports, over the same content: it reads the disk once, because
// the format has a checksum of every grain. [WriteCompressed] really compresses.
// [Flat] gives the descriptor of a disk that is a raw file beside it.
//
// What enters [Open]: the bytes of a monolithicSparse or streamOptimized file, of
// version 1, 2 or 3. What leaves: the extent map of its disk, over those bytes.
// Descriptors name other files, which nothing here opens: [OpenParts] reads a
// disk in several parts from those that the caller gives.
//
// Specification: "Virtual Disk Format 5.0", VMware, and block/vmdk.c of QEMU for
// what VMware's products do beside it. All integers are little-endian; places
// are counted in sectors of 512 bytes.
package vmdk
