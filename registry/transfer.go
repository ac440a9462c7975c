package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/cloudlets/cloudlets/extent"
)

const (
	// bufferSize is how many bytes move at a time where the kernel does not
	// move them alone.
	bufferSize = 256 << 10
	// sendSize is how many bytes the kernel is asked to send at a time: the
	// idle timeout runs for each.
	sendSize = 1 << 20
)

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// readError is an error of the client's side of a transfer, to be told from
// one of storage.
type readError struct{ err error }

func (e *readError) Error() string { return "receive: " + e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// receive copies the body of a request to dst, which is written to while more is
// received. It calls save, if not nil, after every so many bytes, when all of
// them are written. It returns a *readError where the client failed: what it sent
// before is written then.
func (s *Server) receive(w http.ResponseWriter, r *http.Request, dst io.Writer, every int64, save func() error) (err error) {
	body := s.body(w, r)
	back := startBacklog(dst)
	defer func() {
		if failed := back.end(); failed != nil {
			err = failed // the client is not to blame
		}
	}()
	var unsaved int64
	for !back.failed.Load() {
		buffer := back.buffer()
		n, err := fill(body, buffer[:])
		back.put(buffer, n)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return &readError{err}
		}
		if unsaved += int64(n); save == nil || unsaved < every {
			continue
		}
		unsaved = 0
		if err := back.flush(); err != nil {
			return err
		}
		if err := save(); err != nil {
			return err
		}
	}
	return nil // the backlog knows why
}

// fill reads until p is full or there is an error, which may be io.EOF.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var got int
		got, err = r.Read(p[n:])
		n += got
	}
	return n, err
}

// copyObject copies all of a blob.
func copyObject(dst io.Writer, blob extent.Blob) error {
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	_, err := io.CopyBuffer(dst, io.NewSectionReader(blob, 0, blob.Size()), buffer[:])
	return err
}

// body returns the body of a request, to be read with the idle timeout.
func (s *Server) body(w http.ResponseWriter, r *http.Request) io.Reader {
	return &idleReader{r: r.Body, control: http.NewResponseController(w), idle: s.idle}
}

// idleReader puts off the connection's read deadline before every read.
type idleReader struct {
	r       io.Reader
	control *http.ResponseController
	idle    time.Duration
}

func (i *idleReader) Read(p []byte) (int, error) {
	if err := i.control.SetReadDeadline(time.Now().Add(i.idle)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return i.r.Read(p)
}

// osFile is what the kernel can send from by itself, such as an *os.File.
type osFile interface {
	io.ReadSeeker
	syscall.Conn
}

// send writes the span of a blob to w. The header was written before.
func (s *Server) send(ctx context.Context, w http.ResponseWriter, blob extent.Blob, part span) error {
	out := &idleWriter{w: w, control: http.NewResponseController(w), idle: s.idle}
	defer out.done()
	if f, ok := blob.(osFile); ok {
		return out.sendFile(ctx, f, part)
	}
	if from, ok := blob.(io.WriterTo); ok && part.length() == blob.Size() {
		_, err := from.WriteTo(out)
		return err
	}
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	_, err := io.CopyBuffer(out, io.NewSectionReader(blob, part.first, part.length()), buffer[:])
	return err
}

// idleWriter puts off the connection's write deadline before every write.
type idleWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	idle    time.Duration
}

func (i *idleWriter) Write(p []byte) (int, error) {
	if err := i.extend(); err != nil {
		return 0, err
	}
	return i.w.Write(p)
}

func (i *idleWriter) extend() error {
	err := i.control.SetWriteDeadline(time.Now().Add(i.idle))
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

// done lifts the deadline, which would go on to the connection's next request.
func (i *idleWriter) done() { _ = i.control.SetWriteDeadline(time.Time{}) }

// sendFile lets the kernel send the span of a file (sendfile(2)), which net/http
// does where it is given a file or a LimitedReader of one and nothing around it.
func (i *idleWriter) sendFile(ctx context.Context, f osFile, part span) error {
	if _, err := f.Seek(part.first, io.SeekStart); err != nil {
		return err
	}
	for left := part.length(); left > 0; {
		if err := errors.Join(ctx.Err(), i.extend()); err != nil {
			return err
		}
		n, err := io.Copy(i.w, &io.LimitedReader{R: f, N: min(left, sendSize)})
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		left -= n
	}
	return nil
}
