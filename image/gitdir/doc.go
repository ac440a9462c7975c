// Package gitdir runs git on a directory that holds the rootfs of an image.
//
// git keeps the content of files, symbolic links, and whether a file is
// executable. The rest of a rootfs — owners, modes, times, extended attributes,
// devices, FIFOs, hard links, holes, empty directories — is kept in a text file
// in the work tree, [MetadataPath], that git tracks like any other: it is written
// from the directory before git looks at it, and the directory is made to be as
// it says after git changed it. Volatile paths of the cloudlet manifest are
// ignored, by git and in that file.
//
// What enters: a directory and the arguments of git. What leaves: what git does.
//
// The file has a line for each path, in the manner of mtree(5): the path, with
// unusual bytes as a backslash and three octal digits, and keywords with values.
//
//	type=    file, dir, link, fifo, char or block
//	mode=    permission bits in octal; not of a link
//	uid=, gid=  numbers
//	time=    of the last modification: seconds since 1970, a dot, nine digits
//	device=  native,MAJOR,MINOR
//	hardlink=  another path of the same file: the same on all but the first of its names
//	holes=   START+LENGTH in bytes, separated by commas
//	xattr.NAME=  base64
//
// Lines are sorted by path, and merged line by line and keyword by keyword.
package gitdir
