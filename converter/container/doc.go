// Package container holds what the containers of disks share: qcow2, VHD, VMDK
// and the others differ in their headers and tables, not in what a reader must
// check or a writer must find.
//
// For writers: [Runs] lists the grains of a disk that hold data, and a [Table]
// appends numbers to a map. For readers: a [File] reads foreign bytes within
// bounds, [Ranges] finds parts of a file that are used twice, [Units] is the
// content of parts that are compressed one by one, a [Layout] collects where the
// grains of a disk stand, [Sectors] puts one together that leaves some to a
// parent, and a [Disk] is what every reader returns; a [Filesystem] is what readers
// of filesystems return. [MaxPieces] bounds what any of it remembers.
//
// For both: a parent is what a file leaves content to. Writers name it by its
// digest, having compared the two: [Comparison], [Base]. Readers are given it, and
// open nothing by the name in the file: [FindParent], [Parent]. [UUID] makes the identities
// that formats want, of the disk and of nothing random.
//
// A grain is the unit in which a container allocates space: a cluster of qcow2,
// a block of VHD, a grain of VMDK.
package container
