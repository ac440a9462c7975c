package tarball

import (
	"errors"
	"fmt"
	"io"
)

// input is where a Reader has the tar stream from. At the end of the stream
// take returns io.EOF where nothing is left, and otherwise, like skip,
// an error that wraps ErrTruncated; offset then is where the stream ends.
type input interface {
	// take returns the next n bytes, which stay valid until the next call.
	take(n int) ([]byte, error)
	// skip passes n bytes of content.
	skip(n int64) error
	// pad passes the n bytes between content and the next header.
	pad(n int) error
	// offset returns how many bytes were taken or passed.
	offset() int64
}

// section is an input that reads headers only.
type section struct {
	r         io.ReaderAt
	size, off int64
	buf       []byte
}

func (s *section) offset() int64 { return s.off }

func (s *section) take(n int) ([]byte, error) {
	if left := s.size - s.off; left < int64(n) {
		s.off = s.size
		if left == 0 {
			return nil, io.EOF
		}
		return nil, missing(int64(n)-left, "a header")
	}
	if n > len(s.buf) {
		s.buf = make([]byte, n)
	}
	if k, err := s.r.ReadAt(s.buf[:n], s.off); k < n {
		if err == io.EOF { // the size promised more
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read %d bytes at byte %d of a tar of %d: %w", n, s.off, s.size, err)
	}
	s.off += int64(n)
	return s.buf[:n], nil
}

func (s *section) skip(n int64) error {
	if left := s.size - s.off; left < n {
		s.off = s.size
		return missing(n-left, "content")
	}
	s.off += n
	return nil
}

func (s *section) pad(n int) error { return s.skip(int64(n)) }

func missing(n int64, of string) error {
	return fmt.Errorf("%w: it ends %d bytes before the end of %s", ErrTruncated, n, of)
}

// streamBuffer is how much of a stream is read at once, in bytes. It holds at
// least one frame.
const streamBuffer = 2 * FrameSize

// stream is an input that reads everything, and hands on what it reads to a
// FrameWriter.
type stream struct {
	r        io.Reader
	buf      []byte
	from, to int   // what is read of the stream and not passed: buf[from:to]
	off      int64 // of buf[from] in the stream

	out    FrameWriter
	framed int       // bytes written since the last cut
	tee    io.Writer // also gets the content; may be nil
}

func newStream(r io.Reader, out FrameWriter) *stream {
	return &stream{r: r, out: out, buf: make([]byte, streamBuffer)}
}

func (s *stream) offset() int64 { return s.off }

func (s *stream) take(n int) ([]byte, error) {
	err := s.fill(n)
	if err == io.EOF && s.from < s.to {
		err = s.short(n, "a header")
	}
	if err != nil {
		return nil, err
	}
	p := s.buf[s.from : s.from+n]
	return p, s.pass(n)
}

// short is the error of a stream that ends in the buffer, before n bytes of it.
func (s *stream) short(n int, of string) error {
	have := s.to - s.from
	s.off += int64(have)
	s.from = s.to
	return missing(int64(n-have), of)
}

func (s *stream) skip(n int64) error {
	if n == 0 {
		return nil
	}
	if err := s.cut(); err != nil {
		return err
	}
	for n > 0 {
		err := s.fill(1)
		if err == io.EOF {
			return missing(n, "content")
		}
		if err != nil {
			return err
		}
		k := int(min(n, int64(s.to-s.from)))
		if s.tee != nil {
			if _, err := s.tee.Write(s.buf[s.from : s.from+k]); err != nil {
				return fmt.Errorf("take up content: %w", err)
			}
		}
		if err := s.pass(k); err != nil {
			return err
		}
		n -= int64(k)
	}
	return s.cut()
}

func (s *stream) pad(n int) error {
	err := s.fill(n)
	if err == io.EOF {
		return s.short(n, "content")
	}
	if err != nil {
		return err
	}
	return s.pass(n)
}

// rest passes everything up to the end of the stream.
func (s *stream) rest() error {
	for {
		if err := s.fill(1); err != nil {
			if err == io.EOF {
				err = nil
			}
			return errors.Join(err, s.cut())
		}
		if err := s.pass(s.to - s.from); err != nil {
			return err
		}
	}
}

// fill makes sure that n bytes are in the buffer, or returns io.EOF.
func (s *stream) fill(n int) error {
	if s.to-s.from >= n {
		return nil
	}
	if s.from == s.to || s.from+n > len(s.buf) {
		old := s.buf
		if n > len(s.buf) {
			s.buf = make([]byte, n)
		}
		s.to = copy(s.buf, old[s.from:s.to])
		s.from = 0
	}
	for idle := 0; s.to-s.from < n; idle++ {
		k, err := s.r.Read(s.buf[s.to:])
		if s.to += k; k > 0 {
			idle = 0
		}
		switch {
		case s.to-s.from >= n: // an error comes again with the next read
		case err == io.EOF:
			return io.EOF
		case err == nil && idle == maxIdleReads:
			err = io.ErrNoProgress
			fallthrough
		case err != nil:
			return fmt.Errorf("read the tar at byte %d: %w", s.off+int64(s.to-s.from), err)
		}
	}
	return nil
}

// maxIdleReads is how many reads in a row may return nothing.
const maxIdleReads = 100

// pass hands on the next n bytes of the buffer, cut so that no frame is longer
// than FrameSize.
func (s *stream) pass(n int) error {
	p := s.buf[s.from : s.from+n]
	s.from += n
	s.off += int64(n)
	for len(p) > 0 {
		k := min(len(p), FrameSize-s.framed)
		if _, err := s.out.Write(p[:k]); err != nil {
			return fmt.Errorf("write a frame: %w", err)
		}
		p = p[k:]
		if s.framed += k; s.framed == FrameSize {
			if err := s.cut(); err != nil {
				return err
			}
		}
	}
	return nil
}

// cut ends the frame, unless it is empty.
func (s *stream) cut() error {
	if s.framed == 0 {
		return nil
	}
	s.framed = 0
	if err := s.out.Cut(); err != nil {
		return fmt.Errorf("end a frame: %w", err)
	}
	return nil
}
