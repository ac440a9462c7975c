package s3test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// AccessKey and SecretKey are the credentials of every server.
const (
	AccessKey = "cloudlets"
	SecretKey = "cloudlets-secret"
	Region    = "us-east-1"
)

// module is the server as `go install` knows it.
const module = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"

// startTime is how long a server may take to answer.
const startTime = 30 * time.Second

// script runs the server $1 on the address $2 over the directory $3, until its
// standard input ends, and removes what it has stored.
const script = `
set -eu
trap 'rm -rf "$3"' EXIT
"$1" --port "$2" --quiet posix --concurrency 100 "$3/data" >&2 </dev/null &
server=$!
cat >/dev/null
kill -TERM $server
wait $server || true
`

// server is what the whole test binary shares.
type server struct {
	address string
	data    string         // a directory for each bucket
	stdin   io.WriteCloser // its end stops the server
	cmd     *exec.Cmd
}

var (
	start   = sync.OnceValues(startServer)
	buckets atomic.Int64
)

// Bucket makes an empty bucket for one test and returns its name and a proxy to
// its server. The test fails where there is no server.
func Bucket(t testing.TB) (name string, p *Proxy) {
	t.Helper()
	s, err := start()
	if err != nil {
		t.Fatalf("start versitygw: %v", err)
	}
	name = fmt.Sprintf("test%d", buckets.Add(1))
	if err := os.Mkdir(filepath.Join(s.data, name), 0o750); err != nil {
		t.Fatal(err)
	}
	return name, startProxy(t, s.address)
}

func startServer() (_ *server, err error) {
	binary, err := find()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "s3test")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	s := &server{data: filepath.Join(dir, "data")}
	if err := os.Mkdir(s.data, 0o750); err != nil {
		return nil, err
	}
	if s.address, err = freeAddress(); err != nil {
		return nil, err
	}
	s.cmd = exec.Command("/bin/sh", "-c", script, "sh", binary, s.address, dir)
	s.cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID="+AccessKey, "ROOT_SECRET_ACCESS_KEY="+SecretKey)
	s.cmd.Dir = dir
	log, err := os.Create(filepath.Join(dir, "log")) // no goroutine is needed for a file
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.cmd.Stderr = log
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	return s, s.ready()
}

// ready waits until the server answers.
func (s *server) ready() error {
	for end := time.Now().Add(startTime); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", s.address)
		if err == nil {
			return conn.Close()
		}
	}
	log, err := os.ReadFile(filepath.Join(s.cmd.Dir, "log"))
	return errors.Join(fmt.Errorf("it does not listen at %s after %v: %s", s.address, startTime, log), err, s.stdin.Close(), s.cmd.Wait())
}

// freeAddress returns an address that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// find returns the server's binary: from the PATH, or from .cache/bin at the
// root of the module, where it is built if it is missing.
func find() (string, error) {
	if path, err := exec.LookPath("versitygw"); err == nil {
		return path, nil
	}
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the root of the module: %w", err)
	}
	bin := filepath.Join(filepath.Dir(strings.TrimSpace(string(out))), ".cache", "bin")
	path := filepath.Join(bin, "versitygw")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	install := exec.Command("go", "install", module)
	install.Env = append(os.Environ(), "GOBIN="+bin, "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("it is neither in the PATH nor at %s, and go install %s failed: run `make tools`: %w: %s", path, module, err, out)
	}
	return path, nil
}
