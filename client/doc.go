// Package client is the other side of a registry: it pushes images, pulls them
// and asks for renders, and renders by itself where a registry does not.
//
// What enters: a rootfs — a tar stream, compressed or not, or a directory; the file
// of a disk, a kernel or an AMI bundle; or the reference of an image. What leaves:
// an image, an artifact or a version in a registry; a file; or a [Rendered] that can
// be read while its content is fetched (package lazy).
//
// Everything works with any OCI registry. Where the registry is a cloudlets, a
// push sends only the frames it lacks (package api).
package client
