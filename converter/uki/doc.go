// Package uki makes and reads unified kernel images: EFI programs with a kernel,
// its initrd and its command line as sections, which firmware starts without a
// boot loader.
//
// What enters [Write]: the bytes of a stub, which is systemd's program that
// starts what stands beside it, texts, and extent maps of kernel and initrd. What
// leaves: the extent map of the image, in which kernel and initrd are references.
// What enters [Open]: a PE file. What leaves: where its sections stand.
//
// An image that is made here is not signed: firmware with Secure Boot does not
// start it. One that exists is best copied as it is.
//
// Specifications: UAPI Group, "Unified Kernel Image (UKI)"; Microsoft, "PE Format".
// The layout is that of systemd's ukify: sections after those of the stub, on pages
// of their own, the kernel last and with room to unpack in place.
package uki
