package metrics

import (
	"io"
	"net/http"
)

// statusBroken is counted where a handler has answered nothing: the client went
// away.
const statusBroken = 499

// writer counts what a handler answers. It hides nothing of what is below:
// files are still sent by the kernel, deadlines still set.
type writer struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *writer) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK { // others are informational
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(p []byte) (int, error) {
	w.begin()
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom lets net/http send a file by sendfile(2).
func (w *writer) ReadFrom(r io.Reader) (int64, error) {
	w.begin()
	n, err := io.Copy(w.ResponseWriter, r)
	w.bytes += n
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *writer) begin() {
	if w.status == 0 {
		w.status = http.StatusOK
	}
}

func (w *writer) statusCode() int {
	if w.status == 0 {
		return statusBroken
	}
	return w.status
}

// reader counts the body of a request.
type reader struct {
	io.ReadCloser
	bytes int64
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.bytes += int64(n)
	return n, err
}
