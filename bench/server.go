package main

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// server is our registry.
type server struct {
	*process
	settings
	data string
}

// startServer starts our registry on a data directory of its own.
func startServer(ctx context.Context, s settings, name string, flags ...string) (*server, error) {
	data := filepath.Join(s.work, name)
	p, err := startProcess(ctx, s, "cloudlets", s.address, s.env, append([]string{s.binary, "serve", "--listen", s.address, "--data", data}, flags...)...)
	if err != nil {
		return nil, err
	}
	return &server{process: p, settings: s, data: data}, nil
}

// cloudlets runs the client and returns what it prints.
func (s *server) cloudlets(ctx context.Context, args ...string) (string, error) {
	out, err := run1(ctx, s.binary, append([]string{"-q"}, args...)...)
	return strings.TrimSpace(out), err
}

func (s *server) ref(reference string) string { return s.process.address + "/" + reference }

// stored returns how many bytes the data directory occupies.
func (s *server) stored() (int64, error) {
	var total int64
	err := filepath.WalkDir(s.data, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		total += info.Sys().(*syscall.Stat_t).Blocks * 512
		return nil
	})
	return total, err
}

// procField returns a number of a "key: value" file of /proc.
func procField(path, key string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		if strings.TrimSpace(name) == key {
			return strconv.ParseInt(strings.Fields(value)[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, key)
}

// written returns how many bytes the registry has caused to be written to disk.
func (s *server) written() (int64, error) {
	return procField(fmt.Sprintf("/proc/%d/io", s.cmd.Process.Pid), "write_bytes")
}

// peakMemory returns the registry's peak resident memory in bytes.
func (s *server) peakMemory() (int64, error) {
	kib, err := procField(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid), "VmHWM")
	return kib << 10, err
}

// loopback returns how many bytes the loopback device has passed on.
func loopback() (int64, error) { return procField("/proc/net/dev", "lo") }
