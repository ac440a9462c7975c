package file

import (
	"os"

	"golang.org/x/sys/unix"
)

// ReadNow fills p with the bytes of a file at off if the kernel has them in
// memory, and reports whether it did: preadv2 with RWF_NOWAIT.
func ReadNow(f *os.File, p []byte, off int64) bool {
	conn, err := f.SyscallConn()
	if err != nil {
		return false
	}
	read := 0
	err = conn.Control(func(fd uintptr) {
		read, _ = unix.Preadv2(int(fd), [][]byte{p}, off, unix.RWF_NOWAIT)
	})
	return err == nil && read == len(p)
}

// ReadNow fills p with the content at off if the kernel has it in memory, as
// [extent.NowReader] asks.
func (o *Object) ReadNow(p []byte, off int64) bool { return ReadNow(o.File, p, off) }
