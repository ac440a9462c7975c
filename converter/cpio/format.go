package cpio

// A header is a magic and 13 numbers, each as 8 hexadecimal digits: the inode
// number, mode, owner, group, names, time, bytes of content, device of the file
// (2), device that the file is (2), bytes of the name with the zero after it, and
// a checksum that newc does not use. The name follows, then the content; both are
// padded with zeros.
const (
	magic     = "070701"
	alignment = 4

	// trailer is the name of the entry that ends an archive.
	trailer = "TRAILER!!!"
	// recordSize is what the length of an archive is rounded up to, as cpio does.
	recordSize = 512

	// maxPath is how long a name and the zero after it may be (Linux, PATH_MAX).
	maxPath = 4096
	// maxContent is the longest content that a header can tell of, in bytes.
	maxContent = 1<<32 - 1
	maxTarget  = maxPath - 1

	// Device numbers have 12 and 20 bits in Linux.
	maxMajor = 1<<12 - 1
	maxMinor = 1<<20 - 1
)
