// Package api names what cloudlets adds to the OCI distribution API: media
// types, annotations, paths and messages, written once for both sides.
//
// Everything stands below /v2/<repository>/_cloudlets/, as the distribution
// spec reserves for extensions. A registry without them answers 404 there, and
// clients then do without. The extension is specified in docs/api.md.
package api
