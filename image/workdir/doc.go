// Package workdir keeps the rootfs of an image in a directory, to be worked on.
//
// What enters: a directory, and changes that turn it into a tree of an image.
// What leaves: the files, with owners, modes, times, extended attributes,
// devices, holes and hard links as the tree has them; and a fingerprint of a
// directory, which says cheaply that nothing in it has changed.
package workdir
