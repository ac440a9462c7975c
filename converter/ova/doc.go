// Package ova writes and reads OVA packages: a virtual machine's description and
// its disks in one file.
//
// What enters [Write]: a machine and the extent maps of its disks' files,
// streamOptimized VMDK. What leaves: the extent map of a package that VMware's
// or VirtualBox's products import. The disks are referenced, never copied, but
// read once: the package's manifest has their hashes. What enters [Open]: the
// bytes of a package. What leaves: its disks, each over those bytes.
//
// A description names its files, and may name them anywhere: only what is in the
// package is read.
//
// Specification: DMTF DSP0243, Open Virtualization Format, versions 1.1 and 2.1.
// The package is a tar in the ustar format with the description first and, here,
// the manifest last, so that it can be written in one pass.
package ova
