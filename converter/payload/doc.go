// Package payload decompresses what Linux kernels carry and boot with: the
// kernel inside of a boot image, and initrds.
//
// What enters: a reader of compressed bytes. What leaves: the content, as a
// stream. Readers stop where the compressed stream ends, as far as its format
// allows: what comes after belongs to somebody else.
//
// These are the formats of the kernel's own decompressors (lib/decompress*.c):
// gzip, bzip2, LZMA, xz with its x86 filter, LZ4 in the legacy frame, zstd. LZO
// is known and refused.
//
// Memory is bounded: 128 MiB for the window of a stream, and 256 MiB for a block
// of xz with a filter. How much comes out is for the caller to bound.
package payload
