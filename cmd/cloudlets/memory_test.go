package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

const (
	// maxMemory is the most that a process may have had, in bytes.
	maxMemory = 300 << 20
	// sparseSize is the size of a file that is all hole but for sparseIslands
	// pieces of data.
	sparseSize    = 20 << 30
	sparseIslands = 200
)

// sparseFile makes a large file with little in it.
func sparseFile(t testing.TB, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range int64(sparseIslands) {
		if _, err := f.WriteAt([]byte(text(uint64(i), 100_000)), sparseSize/sparseIslands*i); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(sparseSize); err != nil {
		t.Fatal(err)
	}
}

var peakLine = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peakOf returns how much memory a living process has had at most, in bytes; 0
// of one that is gone. (What wait4 tells begins with the memory of the process
// that has started it.)
func peakOf(t testing.TB, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	m := peakLine.FindSubmatch(status)
	if err != nil || m == nil {
		return 0
	}
	return atoi(t, string(m[1])) << 10
}

// watch runs a command that must succeed and returns its peak of memory, in
// bytes.
func watch(t testing.TB, args ...string) (peak int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := command(ctx, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for tick := time.NewTicker(2 * time.Millisecond); ; {
		select {
		case err := <-ended:
			tick.Stop()
			if err != nil {
				t.Fatalf("%s: %v\n%s", args[0], err, &stderr)
			}
			return peak
		case <-tick.C:
			peak = max(peak, peakOf(t, cmd.Process.Pid))
		}
	}
}

// TestMemoryIsBounded pushes and renders an image of 20 GiB, as a tar and as a
// directory.
func TestMemoryIsBounded(t *testing.T) {
	root := t.TempDir()
	sparseFile(t, filepath.Join(root, "var/lib/sparse"))
	for _, e := range kernel()[1:] {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, e.Name)), 0o755); err != nil {
			t.Fatal(err)
		}
		mustWrite(t, filepath.Join(root, e.Name), e.content)
	}
	packed := filepath.Join(t.TempDir(), "rootfs.tar")
	tool(t, "tar", "--sparse", "-cf", packed, "-C", root, ".")
	for name, rootfs := range map[string]string{"tar": packed, "directory": root} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			ok(t, "bootkit", "/", s.ref("kit:1"))
			disk := filepath.Join(t.TempDir(), "disk.qcow2")
			render := []string{"render", "-q", s.ref("a:1"), "--bootkit", s.ref("kit:1")}
			peaks := map[string]int64{
				"push":         watch(t, "push", "-q", rootfs, s.ref("a:1")),
				"render qcow2": watch(t, append(render, "-o", disk)...),
			}
			tool(t, "qemu-img", "check", disk)
			if !testing.Short() && name == "tar" { // it hashes 20 GiB of zeros
				peaks["render raw"] = watch(t, append(render, "--format", "raw", "--size", "20G")...)
			}
			peaks["serve"] = peakOf(t, s.cmd.Process.Pid)
			for what, peak := range peaks {
				t.Logf("%s: %d MiB", what, peak>>20)
				if peak == 0 || peak > maxMemory {
					t.Errorf("%s has had %d bytes of memory, at most %d are allowed", what, peak, maxMemory)
				}
			}
		})
	}
}
