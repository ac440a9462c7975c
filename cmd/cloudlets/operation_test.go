package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not so within a minute", what)
		}
	}
}

// configured starts a registry with a configuration file.
func configured(t testing.TB, path string) *server {
	t.Helper()
	return startServer(t, t.TempDir(), "env", configVariable+"="+path)
}

func TestHangupReloadsTheConfiguration(t *testing.T) {
	path := mustWrite(t, filepath.Join(t.TempDir(), "cloudlets.yaml"), "log: {level: info}\n")
	s := configured(t, path)
	hangup := func(content, logged string) {
		t.Helper()
		mustWrite(t, path, content)
		if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, logged, func() bool { return strings.Contains(s.logged(), logged) })
	}
	s.get(t, "/v2/", "", "")
	if strings.Contains(s.logged(), "msg=request") {
		t.Error("requests are logged although nobody wanted it")
	}
	hangup("log: {access: true}\n", "msg=\"configuration reloaded\"")
	s.get(t, "/v2/", "", "")
	eventually(t, "access log", func() bool {
		return strings.Contains(s.logged(), "msg=request method=GET path=/v2/ endpoint=base status=200")
	})
	hangup("log: {acess: true}\n", "there is no such key")
	hangup("idleTimeout: 1h\n", "restart the server for it")
	s.get(t, "/v2/", "", "")
}

func TestWrongConfigurationIsRefused(t *testing.T) {
	path := mustWrite(t, filepath.Join(t.TempDir(), "cloudlets.yaml"), "\nlisen: a:1\n")
	fails(t, exitUsage, []string{path + ":2", "lisen"}, "serve", "--config", path, "--data", t.TempDir())
	fails(t, exitUsage, []string{"--log-level", "expected one of"}, "serve", "--log-level", "loud", "--data", t.TempDir())
	fails(t, exitNotFound, []string{"expected a directory, a tar, or"}, "config", "all")
}

// adminAddress is what a registry logs of its listener for operators.
var adminAddress = regexp.MustCompile(`admin=(\S+)`)

func TestAdminListenerTellsStateAndMetrics(t *testing.T) {
	s := configured(t, mustWrite(t, filepath.Join(t.TempDir(), "cloudlets.yaml"), "admin: {listen: '127.0.0.1:0'}\n"))
	found := adminAddress.FindStringSubmatch(s.logged())
	if found == nil {
		t.Fatalf("no address of the listener in\n%s", s.logged())
	}
	s.get(t, "/v2/", "", "")
	for path, want := range map[string]string{
		"/livez": "ok", "/readyz": "ok",
		"/metrics":  `cloudlets_http_requests_total{code="200",endpoint="base",method="GET"} 1`,
		"/metrics?": `go_sql_open_connections{db_name="metadata_writer"} 1`,
	} {
		answer, err := http.Get("http://" + found[1] + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s %v\n%s", path, answer.Status, err, body)
		}
	}
	if answer, _ := s.get(t, "/metrics", "", ""); answer.StatusCode != http.StatusNotFound {
		t.Errorf("the registry's own port answers /metrics with %s", answer.Status)
	}
}

func TestServiceManagerIsTold(t *testing.T) {
	dir, err := os.MkdirTemp("", "notify") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	socket, err := new(net.ListenConfig).ListenPacket(context.Background(), "unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	s := startServer(t, t.TempDir(), "env", managerSocket+"="+path)
	expect := func(want string) {
		t.Helper()
		if err := socket.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		buffer := make([]byte, 100)
		n, _, err := socket.ReadFrom(buffer)
		if err != nil || string(buffer[:n]) != want {
			t.Errorf("told %q, %v; want %q", buffer[:n], err, want)
		}
	}
	expect(managerReady)
	s.stop(t)
	expect(managerStopping)
}
