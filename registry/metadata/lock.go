package metadata

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// lockSuffix names the lock file beside a database.
const lockSuffix = ".lock"

// maxHolder bounds how much of a lock file is read, in bytes.
const maxHolder = 64

// acquire takes the lock file at path for this process. The lock goes with the
// process, however it ends; the file stays.
func acquire(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("lock metadata: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("%s is held by process %s: %w; stop that process or choose another data directory", path, holder(f), ErrLocked)
	}
	if err == nil {
		err = announce(f)
	}
	if err != nil {
		return nil, fmt.Errorf("lock metadata: %w", errors.Join(err, f.Close()))
	}
	return f, nil
}

// announce writes this process's id into its lock file.
func announce(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return err
}

// holder returns what the lock file says of the process that holds it.
func holder(f *os.File) string {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, maxHolder))
	if pid := strings.TrimSpace(string(b)); err == nil && pid != "" {
		return pid
	}
	return "(unknown)"
}
