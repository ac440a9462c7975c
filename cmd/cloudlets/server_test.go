package main

import (
	"bufio"
	"context"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// server is a registry in a process of its own.
type server struct {
	host string // and port
	data string // directory
	cmd  *exec.Cmd

	mu     sync.Mutex
	log    strings.Builder
	ended  chan struct{} // closed once the process is gone
	status error         // of the process, then
}

// serving is what a registry logs once it answers.
var serving = regexp.MustCompile(`msg=serving address=(\S+)`)

// newServer starts a registry without content.
func newServer(t testing.TB) *server {
	t.Helper()
	return startServer(t, t.TempDir())
}

// startServer starts a registry on a data directory. A wrapper is a command
// that runs the one it is given as arguments.
func startServer(t testing.TB, data string, wrapper ...string) *server {
	t.Helper()
	s, err := launch(data, wrapper...)
	if err != nil {
		t.Fatalf("start the registry: %v", err)
	}
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("the registry's log:\n%s", s.logged())
		}
	})
	if s.host == "" {
		t.Fatalf("the registry has ended at once: %v\n%s", s.status, s.logged())
	}
	return s
}

// launch starts a registry and returns when it serves, or has ended.
func launch(data string, wrapper ...string) (*server, error) {
	serve := command(context.Background(), "serve", "--listen", "127.0.0.1:0", "--data", data)
	if len(wrapper) > 0 {
		env := serve.Env
		serve = exec.Command(wrapper[0], append(wrapper[1:], serve.Args...)...)
		serve.Env = env
	}
	return launchCommand(data, serve)
}

// launchCommand does so with a command that serves.
func launchCommand(data string, serve *exec.Cmd) (*server, error) {
	s := &server{data: data, cmd: serve, ended: make(chan struct{})}
	stderr, err := serve.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := serve.Start(); err != nil {
		return nil, err
	}
	ready := make(chan string, 1)
	go s.follow(stderr, ready)
	s.host = <-ready
	return s, nil
}

// follow keeps the log, and tells the address, or nothing at the end.
func (s *server) follow(stderr io.Reader, ready chan<- string) {
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		s.mu.Lock()
		s.log.WriteString(lines.Text() + "\n")
		s.mu.Unlock()
		if m := serving.FindStringSubmatch(lines.Text()); m != nil {
			ready <- m[1]
		}
	}
	s.status = s.cmd.Wait()
	close(s.ended)
	close(ready)
}

func (s *server) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// kill ends the registry as kill -9 does.
func (s *server) kill() {
	_ = s.cmd.Process.Kill() // it may be gone already
	<-s.ended
}

// stop ends the registry as an administrator does.
func (s *server) stop(t testing.TB) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("stop the registry: %v", err)
	}
	select {
	case <-s.ended:
	case <-time.After(time.Minute):
		t.Fatalf("the registry has not stopped:\n%s", s.logged())
	}
}

// ref names something in the registry.
func (s *server) ref(name string) string { return s.host + "/" + name }

// get fetches a path of the registry, with a header where that is not empty.
func (s *server) get(t testing.TB, path, header, value string) (*http.Response, string) {
	t.Helper()
	return s.do(t, http.MethodGet, path, header, value, nil)
}

func (s *server) do(t testing.TB, method, path, header, value string, content io.Reader) (*http.Response, string) {
	t.Helper()
	url := path
	if strings.HasPrefix(path, "/") {
		url = "http://" + s.host + path
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, content)
	if err != nil {
		t.Fatal(err)
	}
	if header != "" {
		req.Header.Set(header, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// stored returns how many bytes the registry's data occupies on disk.
func (s *server) stored(t testing.TB) int64 {
	t.Helper()
	total := int64(0)
	err := filepath.WalkDir(s.data, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		total += info.Sys().(*syscall.Stat_t).Blocks * 512
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return total
}
