// Package formattest is the contract that every container of disks proves to
// keep: its file is what QEMU takes it for, and what QEMU writes is read.
//
// What enters: a [Format], which is the writer and the reader of one container
// under the name QEMU has for it. What leaves: test failures. It is for tests
// alone; a format's own tests add what is particular to it.
//
// [Inspect] is how OpenStack looks at files before it lets them in; the contract
// asks it about all that is written. [MaxMemory] is what a reader may take of
// memory, whatever a file says. [ReadFiles] reads what readers of filesystems
// return.
package formattest
