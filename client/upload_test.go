package client

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestAnUploadDoesNotStandStill writes to an upload, and goes on only when the
// request that took it has ended.
func TestAnUploadDoesNotStandStill(t *testing.T) {
	bodies := make(chan string, 3)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Location", r.URL.Path+"x")
		w.WriteHeader(http.StatusAccepted)
		bodies <- r.Method + " " + r.URL.Path + " " + string(body)
	}))
	defer server.Close()
	c, err := New(Options{PlainHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	repo, err := c.Repository(strings.TrimPrefix(server.URL, "http://") + "/disks/large")
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(server.URL + "/upload/")
	if err != nil {
		t.Fatal(err)
	}
	read, written := net.Pipe()
	failed := make(chan error, 1)
	go func() {
		_, err := repo.uploadBursts(t.Context(), at, read, time.Millisecond)
		failed <- err
	}()
	for _, want := range []string{"PATCH /upload/ begin", "PATCH /upload/x end"} {
		if _, err := io.WriteString(written, want[strings.LastIndex(want, " ")+1:]); err != nil {
			t.Fatal(err)
		}
		if got := <-bodies; got != want {
			t.Errorf("the request is %q, want %q", got, want)
		}
	}
	if err := errors.Join(written.Close(), <-failed, read.Close()); err != nil {
		t.Error(err)
	}
	if len(bodies) > 0 {
		t.Errorf("one request more: %q", <-bodies)
	}
}
