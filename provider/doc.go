// Package provider is the loop that a provider runs: images are rendered into
// the formats its nodes boot, and the results are listed beside the images.
//
// What enters: the digest of an image in a registry, a format and a
// configuration. What leaves: a derived artifact — an OCI manifest whose subject
// is the image and whose blob is an extent map over the image's layers.
//
// A [Renderer] serves the renders extension of the registry's API (package api).
package provider
