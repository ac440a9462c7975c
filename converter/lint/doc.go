// Package lint says what an image lacks for a provider: what keeps it from booting
// there, and what it will miss when it has booted.
//
// What enters: the tree of a rootfs and an opener for its blobs. What leaves: a
// [Report] of findings by provider. Each says what was looked for and where, why
// it matters, and what to do. Nothing is guessed: where the image does not tell, a
// finding says so.
//
// What is read: the kernel's configuration and its lists of modules, the names of
// files in its initrd, and some files of /etc. Nothing is run and no other file is
// opened. What is read is bounded.
//
// What providers give their machines is in providers.go: it follows from their
// documentation of 2024 and 2025, and from what Linux calls its drivers.
package lint
