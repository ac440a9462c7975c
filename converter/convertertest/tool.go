package convertertest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TB is what this package needs of a test: [testing.TB] and rapid's T both have it.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Need fails the test unless the tool is installed, and says which Debian
// package holds it.
func Need(t TB, tool, debianPackage string) {
	t.Helper()
	if _, err := find(tool); err != nil {
		t.Fatalf("%s is not installed; the test asks it whether the output is right. Install it: apt-get install %s", tool, debianPackage)
	}
}

// Run runs a tool in the C.UTF-8 locale and in UTC and returns what it wrote to
// its standard output. The test fails if the tool does.
func Run(t TB, tool string, args ...string) string {
	t.Helper()
	out, err := Try(tool, args...)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return out
}

// Try is [Run] for tools that are expected to fail: the error holds the exit
// status and all output.
func Try(tool string, args ...string) (string, error) {
	path, err := find(tool)
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TZ=UTC")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w\n%s%s", tool, strings.Join(args, " "), err, &stdout, &stderr)
	}
	return stdout.String(), nil
}

// find looks for a tool in PATH and where Debian keeps administrators' tools,
// which are not in the PATH of other users.
func find(tool string) (string, error) {
	path, err := exec.LookPath(tool)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path, sbinErr := exec.LookPath(filepath.Join(dir, tool)); sbinErr == nil {
			return path, nil
		}
	}
	return "", err
}

// Filter returns what a command of the shell makes of input: "gzip -9".
func Filter(t *testing.T, command string, input []byte) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(path, input, 0o600); err != nil {
		t.Fatal(err)
	}
	return []byte(Run(t, "sh", "-c", command+` < "$1"`, "sh", path))
}
