// Package lz4 decodes LZ4 blocks, as squashfs and EROFS keep them: without the
// headers and checksums of LZ4 frames.
//
// What enters: a block. What leaves: its content, or an error where the block
// names bytes that it does not have.
//
// Specification: doc/lz4_Block_format.md of LZ4.
package lz4
