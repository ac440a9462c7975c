// Package image is what a golden image means: its cloudlet manifest, its path
// classes and its rootfs tree.
//
// What enters: the layers of an OCI image, as tar streams that can be read at
// any offset. What leaves: a [Tree] — the merged rootfs, whose files are extents
// of those layers — for the converter to plan a filesystem from.
//
// Nothing here reads file content, except that of the cloudlet manifest.
package image
