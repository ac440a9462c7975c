package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/cloudlets/cloudlets/blobstore"
)

// inMemory is how many bytes a buffer holds before it asks the spool for room.
const inMemory = 1 << 20

// spool bounds what is held of all unfinished parts.
type spool struct {
	dir  string
	size int64
	room *semaphore.Weighted
	wait time.Duration
}

func newSpool(dir string, size int64, wait time.Duration) *spool {
	return &spool{dir: dir, size: size, room: semaphore.NewWeighted(size), wait: wait}
}

// buffer holds bytes by offset: in memory while they are few, then in a file
// that has no name, so that nothing of it outlives the process.
type buffer struct {
	spool    *spool
	mem      []byte // nil once there is a file
	file     *os.File
	size     int64
	reserved int64
}

func (s *spool) buffer() *buffer { return &buffer{spool: s} }

// fits says whether the buffer can grow to size without asking for room.
func (b *buffer) fits(size int64) bool { return b.file != nil || size <= inMemory }

// reserve gets room for a part in the spool, for up to n bytes. Without wait it
// says right away whether there was any.
func (b *buffer) reserve(ctx context.Context, n int64, wait bool) (bool, error) {
	n = min(n, b.spool.size)
	if !wait {
		if !b.spool.room.TryAcquire(n) {
			return false, nil
		}
	} else {
		ctx, cancel := context.WithTimeout(ctx, b.spool.wait)
		defer cancel()
		if err := b.spool.room.Acquire(ctx, n); err != nil {
			return false, fmt.Errorf("no room for %d bytes in the spool for %s: %w", n, b.spool.wait, blobstore.ErrBusy)
		}
	}
	b.reserved = n
	return true, b.spill()
}

// spill moves the bytes from memory to a file.
func (b *buffer) spill() error {
	var err error
	if b.file, err = tempFile(b.spool.dir); err != nil {
		return err
	}
	mem := b.mem
	b.mem = nil
	_, err = b.file.WriteAt(mem, 0)
	return err
}

// WriteAt writes bytes at off, which may be beyond the size. They must fit.
func (b *buffer) WriteAt(p []byte, off int64) (int, error) {
	end := off + int64(len(p))
	b.size = max(b.size, end)
	if b.file != nil {
		return b.file.WriteAt(p, off)
	}
	if grow := end - int64(len(b.mem)); grow > 0 {
		b.mem = append(b.mem, make([]byte, grow)...)
	}
	return copy(b.mem[off:], p), nil
}

// ReadAt reads, as [io.ReaderAt] asks.
func (b *buffer) ReadAt(p []byte, off int64) (int, error) {
	if b.file != nil {
		return b.file.ReadAt(p, off)
	}
	if off >= int64(len(b.mem)) {
		return 0, io.EOF
	}
	n := copy(p, b.mem[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// section returns the bytes from off to the end.
func (b *buffer) section(off int64) *io.SectionReader {
	return io.NewSectionReader(b, off, b.size-off)
}

// free gives back the room.
func (b *buffer) free() error {
	var err error
	if b.file != nil {
		err = b.file.Close()
	}
	b.mem, b.file = nil, nil
	b.spool.room.Release(b.reserved)
	b.reserved = 0
	return err
}

// joined is several buffers, one after the other, as the bytes of one part.
type joined []*buffer

func (j joined) size() (n int64) {
	for _, b := range j {
		n += b.size
	}
	return n
}

// ReadAt reads, as [io.ReaderAt] asks.
func (j joined) ReadAt(p []byte, off int64) (n int, err error) {
	for _, b := range j {
		if off >= b.size {
			off -= b.size
			continue
		}
		k, err := b.ReadAt(p[n:min(int64(len(p)), int64(n)+b.size-off)], off)
		n += k
		if err != nil && !errors.Is(err, io.EOF) || n == len(p) {
			return n, err
		}
		off = 0
	}
	return n, io.EOF
}

func (j joined) free() error {
	var errs []error
	for _, b := range j {
		errs = append(errs, b.free())
	}
	return errors.Join(errs...)
}
