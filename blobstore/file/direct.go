package file

import (
	"errors"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// directFrom is how long an object is before what follows goes around the
	// page cache: a multiple of directChunk. Short objects stay in it for those
	// who read them next.
	directFrom = 16 << 20
	// directChunk is how many bytes are written at once around it: half of it
	// takes a disk a good deal longer.
	directChunk = 2 << 20
	// directAlign is what offsets, lengths and memory of such writes are
	// multiples of: no disk has larger blocks (open(2), O_DIRECT).
	directAlign = 4096
)

// direct writes a file in chunks around the page cache (O_DIRECT), one of them
// while the next is filled: the kernel neither copies nor keeps what is written,
// and little is left for an fsync to do. It is used by one goroutine.
type direct struct {
	direct, cached *os.File
	pool           *sync.Pool
	chunk, spare   *[]byte
	n              int        // bytes of chunk that are filled
	offset         int64      // of chunk in the file
	written        chan error // nil while nothing is being written
}

// openDirect goes on writing the file of cached at offset, a multiple of the
// chunk's length.
func openDirect(cached *os.File, pool *sync.Pool, offset int64) (*direct, error) {
	f, err := os.OpenFile(cached.Name(), os.O_WRONLY|unix.O_DIRECT, 0)
	if err != nil {
		return nil, err
	}
	return &direct{
		direct: f, cached: cached, pool: pool, offset: offset,
		chunk: pool.Get().(*[]byte), spare: pool.Get().(*[]byte),
	}, nil
}

// newChunks returns a pool of aligned chunks of size bytes.
func newChunks(size int) *sync.Pool {
	return &sync.Pool{New: func() any {
		b := make([]byte, size+directAlign)
		skip := -uintptr(unsafe.Pointer(&b[0])) % directAlign
		b = b[skip:][:size:size]
		return &b
	}}
}

// Write takes p over. An error may be of an earlier one.
func (d *direct) Write(p []byte) (taken int, err error) {
	for len(p) > 0 {
		n := copy((*d.chunk)[d.n:], p)
		d.n += n
		taken += n
		p = p[n:]
		if d.n < len(*d.chunk) {
			continue
		}
		if err := d.wait(); err != nil {
			return taken, err
		}
		d.begin()
	}
	return taken, nil
}

// begin begins to write the chunk, which is full, and takes up the other one.
func (d *direct) begin() {
	chunk, offset, written := *d.chunk, d.offset, make(chan error, 1)
	go func() {
		_, err := d.direct.WriteAt(chunk, offset)
		if errors.Is(err, unix.EINVAL) { // a file system that opens files so and writes them otherwise
			_, err = d.cached.WriteAt(chunk, offset)
		}
		written <- err
	}()
	d.written = written
	d.chunk, d.spare = d.spare, d.chunk
	d.offset += int64(len(chunk))
	d.n = 0
}

// wait waits for the chunk that is being written.
func (d *direct) wait() error {
	if d.written == nil {
		return nil
	}
	err := <-d.written
	d.written = nil
	return err
}

// flush puts in the file what was taken over. What is no full chunk goes through
// the page cache, and once more with its chunk when that is full.
func (d *direct) flush() error {
	if err := d.wait(); err != nil {
		return err
	}
	_, err := d.cached.WriteAt((*d.chunk)[:d.n], d.offset)
	return err
}

// stored returns the offset before which everything is in the file for sure.
func (d *direct) stored() int64 {
	if d.written != nil {
		return d.offset - int64(len(*d.chunk))
	}
	return d.offset
}

// Close ends writing. What was not flushed may be lost.
func (d *direct) Close() error {
	err := d.wait()
	d.pool.Put(d.chunk)
	d.pool.Put(d.spare)
	return errors.Join(err, d.direct.Close())
}
