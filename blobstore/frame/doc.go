// Package frame is the layer format of cloudlets: zstd that can be read at any
// offset and of which two versions share most of their bytes.
//
// A blob of frames is a run of independently decodable zstd frames (RFC 8878),
// each of at most [MaxContent] bytes of content, or of at most [MaxZeros] zeros,
// followed by two skippable frames: the frame [Index] — sizes and SHA-256 of each
// frame as stored — and, last, the seek table of the zstd seekable format 0.1.0,
// for its readers. Any zstd decoder decodes the whole to the same content.
//
// What enters a [Writer]: content, and where to cut it; a [Grid] cuts disks at
// fixed places. What leaves: the blob, and its index. What enters a [Reader]: the blob and the index. What leaves:
// the content, at any offset, every frame checked against its SHA-256.
//
// The same content cut at the same places gives the same bytes, so a frame is
// shared between blobs by its digest. The format is specified in docs/frames.md.
package frame
