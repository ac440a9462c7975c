// Package stream writes disks as compressed streams: gzip, zstd and xz, as
// downloads of raw disks come.
//
// What enters: the extent map of a disk. What leaves: the extent map of the
// stream. A stored stream holds the disk's content as it is, by reference, and
// only what is zero compressed; that of zstd costs its tables alone, that of gzip
// one pass over the content, of which it has a checksum. A compressed one is
// made on all cores and kept in a spool.
//
// Specifications: RFC 1951 (deflate), RFC 1952 (gzip), RFC 8878 (zstd), and "The
// .xz File Format" 1.2.1. All integers are little-endian.
package stream
