// Package extent holds the extent map: the one idea every other room is built on.
//
// A disk, a filesystem, a partition table, a qcow2 file — each is an ordered
// list of extents, and an extent is one of three things:
//
//   - zero: a run of zero bytes;
//   - inline: bytes carried in the map itself;
//   - source: a range of another blob, named by that blob's digest and an
//     offset in its (uncompressed) content.
//
// What enters: extents, through a [Builder], or an encoded map, through [Decode].
// What leaves: a [Map], which answers "what stands at this offset?" in
// logarithmic time, composes with other maps without touching a byte of content,
// and — given an [Opener] that can open blobs by digest — reads as an
// [io.ReaderAt] or streams as an [io.WriterTo] through a [Reader].
//
// A Map is immutable, so it can be shared by any number of goroutines. Offsets
// and lengths are in bytes and have byte granularity.
//
// The package imports the standard library alone. The encoding is specified in
// docs/extent-map.md and implemented in encoding.go.
package extent
