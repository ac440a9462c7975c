// Package converter renders images: it turns the rootfs of an image into the
// format a provider wants.
//
// What enters: an image's tree, an opener for its blobs, and [Parameters]. What
// leaves: the extent map of a file in the format — no file content is copied,
// and none read but that of bootloaders.
//
// A format is a pure function from disk map to file map, in a folder of its
// own. This package is the table of them.
package converter
