package extent

import (
	"os"

	"golang.org/x/sys/unix"
)

// NowReader is content some of which is at hand: in memory, not on a disk or
// behind a network.
type NowReader interface {
	// ReadNow fills p with the content at off, and reports whether it did. It did
	// not where that takes waiting, where the content ends before, and where it
	// cannot be read: then what p holds is undefined, and ReadAt tells more.
	ReadNow(p []byte, off int64) bool
}

// ReadNow fills p with the content at off, as [NowReader] asks. Content of blobs
// that are no NowReader, or not open yet, is not at hand.
func (r *Reader) ReadNow(p []byte, off int64) bool {
	if off < 0 || off > r.m.size || int64(len(p)) > r.m.size-off || r.ctx.Err() != nil {
		return false
	}
	for i := r.m.Find(off); len(p) > 0; i++ {
		within := off - r.m.starts[i]
		k := min(r.m.end(i)-off, int64(len(p)))
		if !r.readRunNow(p[:k], i, within) {
			return false
		}
		p, off = p[k:], off+k
	}
	return true
}

// readRunNow fills p with the bytes at off within extent i, if they are at hand.
func (r *Reader) readRunNow(p []byte, i int, off int64) bool {
	run := r.m.runs[i]
	if run.blob < firstBlob {
		return r.readRun(p, i, off) == nil
	}
	blob := r.blobs[run.blob-firstBlob].opened.Load()
	if blob == nil {
		return false
	}
	now, ok := (*blob).(NowReader)
	return ok && now.ReadNow(p, run.off+off)
}

// ReadFileNow fills p with the bytes of a file at off if the kernel has them in
// memory, and reports whether it did: preadv2 with RWF_NOWAIT.
func ReadFileNow(f *os.File, p []byte, off int64) bool {
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
