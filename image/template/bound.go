package template

import (
	"bytes"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"
)

// The kernel's memory limit catches what is too fast for the watch: one huge
// allocation. It is looser than Limits.Memory, because it counts what the Go
// runtime keeps and, in tests with the race detector, that one's shadow memory.
const (
	dataFactor  = 6
	dataReserve = 256 << 20
)

// maxFiles leaves room for the pipes and what the Go runtime has for itself.
const maxFiles = 16

// bound has the kernel and the Go runtime bound this process.
func bound(l Limits) error {
	if err := closeInherited(); err != nil {
		return fmt.Errorf("close inherited files: %w", err)
	}
	data, err := dataSize()
	if err != nil {
		return fmt.Errorf("read the size of this process: %w", err)
	}
	seconds := uint64((l.CPU + time.Second - 1) / time.Second)
	for _, limit := range []struct {
		name     string
		resource int
		value    uint64
	}{
		{"data", syscall.RLIMIT_DATA, data + dataFactor*uint64(l.Memory) + dataReserve},
		{"processor time", syscall.RLIMIT_CPU, seconds + 1},
		{"files", syscall.RLIMIT_NOFILE, maxFiles},
		{"file size", syscall.RLIMIT_FSIZE, 0},
		{"core", syscall.RLIMIT_CORE, 0},
	} {
		if err := lower(limit.resource, limit.value); err != nil {
			return fmt.Errorf("limit %s to %d: %w", limit.name, limit.value, err)
		}
	}
	debug.SetMemoryLimit(l.Memory * 3 / 4)
	debug.SetMaxStack(l.stack())
	return nil
}

// stack is how far the Go stack may grow, in bytes: code nested in code, and calls
// through functions of the engine, take more of it than plain calls.
func (l Limits) stack() int { return int(l.Memory / 2) }

// closeInherited closes what the parent left open without meaning to: all but
// the pipes that is not closed by another exec, as files of the Go runtime are.
func closeInherited() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil || fd <= syscall.Stderr {
			continue
		}
		flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
		if errno == 0 && flags&syscall.FD_CLOEXEC == 0 {
			_ = syscall.Close(fd) // Nothing was written to it.
		}
	}
	return nil
}

// lower sets a limit, unless it is lower already.
func lower(resource int, value uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(resource, &limit); err != nil {
		return err
	}
	limit.Max = min(limit.Max, value)
	limit.Cur = min(limit.Cur, limit.Max)
	return syscall.Setrlimit(resource, &limit)
}

// dataSize returns what RLIMIT_DATA counts, in bytes: proc(5), VmData of
// /proc/self/status, in units of 1024 bytes.
func dataSize() (uint64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, after, found := bytes.Cut(status, []byte("\nVmData:"))
	fields := bytes.Fields(after)
	if !found || len(fields) == 0 {
		return 0, fmt.Errorf("/proc/self/status has no VmData")
	}
	n, err := strconv.ParseUint(string(fields[0]), 10, 64)
	return n * 1024, err
}
