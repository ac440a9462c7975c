package registry

import (
	"io"
	"sync/atomic"
)

// backlogBuffers is how many buffers of a transfer there are: one is filled,
// one is written, and one waits, so that neither side waits for a slow moment of
// the other.
const backlogBuffers = 3

// backlog writes buffers in order, in the background, while others are filled.
// It is used by one goroutine, which has to end it.
type backlog struct {
	dst    io.Writer
	jobs   chan job
	free   chan *[bufferSize]byte
	failed atomic.Bool // so that there is no use in going on
	ended  chan error
}

// job is a buffer to write, or without one, a question whether all was written.
type job struct {
	buffer *[bufferSize]byte
	n      int
	done   chan<- error
}

func startBacklog(dst io.Writer) *backlog {
	b := &backlog{
		dst:   dst,
		jobs:  make(chan job, backlogBuffers),
		free:  make(chan *[bufferSize]byte, backlogBuffers),
		ended: make(chan error, 1),
	}
	for range backlogBuffers {
		b.free <- buffers.Get().(*[bufferSize]byte)
	}
	go b.run()
	return b
}

// run writes until there are no more jobs. After an error it writes nothing.
func (b *backlog) run() {
	var err error
	for j := range b.jobs {
		if j.done != nil {
			j.done <- err
			continue
		}
		if err == nil {
			_, err = b.dst.Write(j.buffer[:j.n])
			b.failed.Store(err != nil)
		}
		b.free <- j.buffer
	}
	b.ended <- err
}

// buffer returns a buffer to fill, which put takes back.
func (b *backlog) buffer() *[bufferSize]byte { return <-b.free }

// put has the first n bytes of a buffer written.
func (b *backlog) put(buffer *[bufferSize]byte, n int) { b.jobs <- job{buffer: buffer, n: n} }

// flush waits until all is written. The writer is the caller's alone until the
// next put.
func (b *backlog) flush() error {
	done := make(chan error, 1)
	b.jobs <- job{done: done}
	return <-done
}

// end waits until all is written and returns the first error.
func (b *backlog) end() error {
	close(b.jobs)
	err := <-b.ended
	for range backlogBuffers {
		buffers.Put(<-b.free)
	}
	return err
}
