// Package client is the other side of a registry: it pushes images, pulls them
// and asks for renders.
//
// What enters: a rootfs — a tar stream, compressed or not, or a directory — or
// the reference of an image. What leaves: an OCI image in a registry, a file.
//
// Everything works with any OCI registry. Where the registry is a cloudlets, a
// push sends only the frames it lacks (package api).
package client
