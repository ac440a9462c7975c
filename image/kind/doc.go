// Package kind tells what a file is that is an image without being the tar of a
// root filesystem: a kernel, a ramdisk, a filesystem, an ISO 9660, a disk.
//
// Two independent facts make a kind, and never one of them alone: the image type
// says what the content is, the container format what it is packed in. A disk in
// a qcow2 is a disk; that it is a qcow2 says nothing about that.
//
// What enters: a file as an [io.ReaderAt], and what somebody declares it to be.
// What leaves: what its content shows, whether that agrees, and by the rules in
// [Boot] how a machine may be given it. Nothing is guessed: where the content
// allows several answers, somebody has to say which.
//
// No other file is opened, whatever the content names, and the amount that is
// read is bounded. A file that needs another, such as an overlay, is not an image.
package kind
