// Package tar plans the tar of a rootfs.
//
// What enters: a tree. What leaves: an extent map of a tar in the pax
// interchange format (POSIX.1-2001), whose headers are inline and whose content
// is where the tree's is. Equal trees make equal tars.
package tar
