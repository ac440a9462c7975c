// Package configure applies a configuration to an image.
//
// What enters: the tree of a rootfs, its cloudlet manifest and a configuration
// that is valid for it. What leaves: a tree with the templates rendered, the host
// name set and the record of it, /.cloudlet/applied_config. All other files, and
// the bytes they refer to, are shared with the tree that was given.
//
// A file that is rendered keeps its owner, its mode, its extended attributes and
// its time of modification: two configurations of one image differ in the content
// of these files alone. Templates are the only files that are read.
package configure
