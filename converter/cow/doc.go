// Package cow writes the copy-on-write disks of User Mode Linux and of QEMU
// before 2014, which begin with "OOOM", and says what to do with one.
//
// What enters [Write]: the extent map of a disk. What leaves: the extent map of
// a file with that disk, whose content is referenced, never copied. [Open]
// refuses all files: they exist to hold what differs from another file, which
// they name by its path, and nothing that is in use today reads them.
//
// Specification: block/cow.c of QEMU 2.1 and earlier. Integers are big-endian.
package cow
