// Package cloudlet is the meaning of a cloudlet manifest and of the
// configuration that an image is rendered with.
//
// What enters: JSON that a stranger may have written. What leaves: a [Manifest]
// and a [Configuration] that keep to their schemas, the [Class] of every path,
// and, of what is wrong, all [Problems] at once. Memory and time are bounded
// whatever enters, nothing is fetched, and no file is opened.
//
// The format is Cloudlets 0.0.4's, with JSON schemas of the 2020-12 draft in the
// place of the drafts of its time. docs/manifest.md and docs/configuration.md
// have it whole.
package cloudlet
