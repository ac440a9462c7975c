package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// scanSize is how many bytes of a scan are read at once.
const scanSize = 256 << 10

// Stat returns the length of a sealed object.
func (d *Driver) Stat(_ context.Context, key string) (int64, error) {
	path, err := d.path(key, objectsDir)
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, notFound(err)
	}
	return info.Size(), nil
}

// Scan reads a sealed object from the disk with O_DIRECT, so that what it finds
// is what is there and not what the page cache remembers, and the page cache
// keeps what traffic needs. Its I/O is in the idle class (ioprio_set(2)).
func (d *Driver) Scan(ctx context.Context, key string, w io.Writer) (int64, error) {
	path, err := d.path(key, objectsDir)
	if err != nil {
		return 0, err
	}
	f, err := openUncached(path)
	if err != nil {
		return 0, notFound(err)
	}
	n, err := scan(ctx, f, w)
	if err = errors.Join(err, f.Close()); err != nil {
		return n, fmt.Errorf("scan object %s: %w", key, err)
	}
	return n, nil
}

// openUncached opens a file past the page cache, where the file system can.
func openUncached(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECT, 0)
	if errors.Is(err, syscall.EINVAL) {
		return os.Open(path)
	}
	return f, err
}

func scan(ctx context.Context, f *os.File, w io.Writer) (written int64, err error) {
	restore := giveWay()
	defer restore()
	// O_DIRECT wants a buffer that is aligned to what the disk's blocks are:
	// pages are (open(2)).
	buffer, err := unix.Mmap(-1, 0, scanSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return 0, fmt.Errorf("allocate a buffer: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Munmap(buffer)) }()
	for {
		if err := ctx.Err(); err != nil {
			return written, err
		}
		n, err := f.Read(buffer)
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return written, err
			}
			written += int64(n)
		}
		if errors.Is(err, io.EOF) {
			return written, nil
		}
		if err != nil {
			return written, err
		}
	}
}

// Of linux/ioprio.h.
const (
	ioprioWhoProcess = 1
	ioprioClassShift = 13
	ioprioClassNone  = 0
	ioprioClassIdle  = 3
)

// giveWay puts the I/O of the calling goroutine into the idle class until restore
// is called. Where that is refused nothing changes: it is a courtesy.
func giveWay() (restore func()) {
	runtime.LockOSThread()
	setIOPriority(ioprioClassIdle)
	return func() {
		setIOPriority(ioprioClassNone)
		runtime.UnlockOSThread()
	}
}

func setIOPriority(class uintptr) {
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, 0, class<<ioprioClassShift)
}
