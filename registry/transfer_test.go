package registry

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// readerFrom is a ResponseWriter that watches what it is given to read from.
type readerFrom struct {
	*httptest.ResponseRecorder
	others int   // reads that the kernel could not do by itself
	most   int64 // the longest read asked for
}

func (w *readerFrom) ReadFrom(r io.Reader) (int64, error) {
	limited, ok := r.(*io.LimitedReader)
	if ok {
		_, ok = limited.R.(syscall.Conn)
		w.most = max(w.most, limited.N)
	}
	if !ok {
		w.others++
	}
	return io.Copy(w.ResponseRecorder, r)
}

func (w *readerFrom) Write(p []byte) (int, error) {
	w.others++
	return w.ResponseRecorder.Write(p)
}

// sizedFile is a file as a blob driver opens it.
type sizedFile struct {
	*os.File
	size int64
}

func (f sizedFile) Size() int64 { return f.size }

// TestFileIsSentByTheKernel makes sure that net/http gets what it hands to
// sendfile(2), and in pieces that the idle timeout can watch.
func TestFileIsSentByTheKernel(t *testing.T) {
	const size = 3*sendSize + 5
	content := make([]byte, size)
	for i := range content {
		content[i] = byte(i >> 8)
	}
	path := filepath.Join(t.TempDir(), "blob")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, part := range []span{{0, size - 1}, {1000, 2*sendSize + 1}, {size - 1, size - 1}, {0, -1}} {
		w := &readerFrom{ResponseRecorder: httptest.NewRecorder()}
		s := &Server{idle: DefaultIdleTimeout}
		if err := s.send(t.Context(), w, sizedFile{f, size}, part); err != nil {
			t.Fatal(err)
		}
		if w.others > 0 || w.most > sendSize {
			t.Errorf("%+v: %d writes by hand, up to %d bytes at once", part, w.others, w.most)
		}
		if got := w.Body.String(); got != string(content[part.first:part.last+1]) {
			t.Errorf("%+v: got %d other bytes", part, len(got))
		}
	}
}

func TestTruncatedFileIsAnError(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "blob"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := &Server{idle: DefaultIdleTimeout}
	if err := s.send(t.Context(), httptest.NewRecorder(), sizedFile{f, 10}, span{0, 9}); err == nil {
		t.Error("ten bytes of an empty file were sent")
	}
}

var _ http.ResponseWriter = (*readerFrom)(nil)
