// Package tarball reads and writes tar streams, and knows where in them
// everything stands.
//
// What enters: a tar stream, as an [io.Reader] or an [io.ReaderAt]; or a
// directory. What leaves: entries ([Reader]) that say at which offsets of the
// stream a file's content stands, sparse files included, so that the content
// can be referred to without being read; the same stream cut into frames at
// file boundaries ([Cut]); a tar of a directory ([FromDir]).
//
// The formats read are v7, ustar and pax (POSIX.1-2001, "pax Interchange
// Format"), GNU and old GNU (GNU tar manual, "Basic Tar Format" and "Storing
// Sparse Files"), and star. archive/tar of the standard library does not say
// where content stands, which is why this is not built on it.
//
// Where tar programs disagree about what a stream means, it is refused: a
// stream must not hold one thing for a scanner and another for a disk.
//
// # Ends
//
// A tar ends with two blocks of zeros. A [Reader] also accepts one that just
// ends where a header would stand, as GNU tar and the container engines do.
// [Cut], which takes in new images, does not: such a stream is what is left of
// a tar whose writer was killed, and files would be missing without a word.
// What follows the two blocks is padding and never looked at.
package tarball
