package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is a registry under test.
type server struct {
	settings
	data string
	cmd  *exec.Cmd
}

// startServer starts a registry on a data directory of its own.
func startServer(ctx context.Context, s settings, name string) (*server, error) {
	srv := &server{settings: s, data: filepath.Join(s.work, name)}
	srv.cmd = exec.CommandContext(ctx, s.binary, "serve", "--listen", s.address, "--data", srv.data)
	srv.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it ends with us, however we end
	log, err := os.Create(filepath.Join(s.work, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	srv.cmd.Stderr = log
	if err := srv.cmd.Start(); err != nil {
		return nil, err
	}
	for range 200 {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.address)
		if err == nil {
			return srv, conn.Close()
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil, errors.Join(fmt.Errorf("the registry does not answer on %s: see %s", s.address, log.Name()), srv.stop())
}

// stop ends the registry.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return s.cmd.Wait()
}

// cloudlets runs the client and returns what it prints.
func (s *server) cloudlets(ctx context.Context, args ...string) (string, error) {
	out, err := run1(ctx, s.binary, append([]string{"-q"}, args...)...)
	return strings.TrimSpace(out), err
}

func (s *server) ref(reference string) string { return s.address + "/" + reference }

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
