// Package nbd is a read-only server of the Network Block Device protocol for
// extent maps: a disk is served before a byte of it was produced.
//
// What enters: connections, and [Exports] that open a disk by name: its extent
// map, a reader of its content, and a function that fetches what is not at hand.
// What leaves: a block device that QEMU, the Linux kernel, libnbd and nbdkit can
// attach, whose holes are known to them.
//
// Every request is served by itself. A read that waits for its content holds no
// buffer and no place in a queue, so a read whose content is at hand never waits
// for one whose content is not.
//
// The protocol is doc/proto.md of the NBD project: the fixed newstyle handshake,
// structured and simple replies, and the metadata context base:allocation.
// Sections named in comments are its. All integers on the wire are big-endian;
// offsets and lengths are in bytes.
package nbd
