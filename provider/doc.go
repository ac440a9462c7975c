// Package provider is the loop that a provider runs: images are rendered into
// the formats its nodes boot, and the results are listed beside the images.
//
// What enters: the digest of an image in a registry, a format and a
// configuration. What leaves: a derived artifact — an OCI manifest whose subject
// is the image and whose blobs are extent maps over the image's layers.
//
// A [Renderer] serves the renders extension of the registry's API (package api), and
// its [Exports] give disks to clients that attach them (package nbd).
package provider
