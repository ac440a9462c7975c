// Package diff compares trees, and merges what two of them made of a third.
//
// What enters: trees of images, and a function that tells whether two files
// have the same content, which need not read them. What leaves: a list of
// changes by path; the tree of a three-way merge, with its conflicts; and the
// layer that turns one tree into another, as the OCI image specification has it
// (layer.md, "Representing Changes").
package diff
