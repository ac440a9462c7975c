// Package inventory lists the files of a tree as those need them who plan a
// filesystem or an archive of it: numbered, each once, with their names counted
// and checked against what the format can hold.
//
// What enters: an [image.Tree] and the [Limits] of a format. What leaves: a
// [List], or an error that names the path of the first file that does not fit.
// No content is read, and the tree is not changed.
package inventory
