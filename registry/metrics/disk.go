package metrics

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// probeSize is how much room a disk must have in bytes: with less, the metadata
// cannot be written either.
const probeSize = 1 << 20

// Writable returns a check that a directory takes a write: its disk is there,
// not full and not mounted for reading only.
func Writable(name, dir string) Check {
	return Check{Name: name, Run: func(context.Context) error {
		if err := probe(dir); err != nil {
			return fmt.Errorf("write to %s: %w", dir, err)
		}
		return nil
	}}
}

func probe(dir string) (err error) {
	f, err := openUnnamed(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.Write(make([]byte, probeSize))
	return err
}

// openUnnamed opens a file that is gone once it is closed.
func openUnnamed(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), dir), nil
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) {
		return nil, err
	}
	f, err := os.CreateTemp(dir, ".probe-*") // a filesystem without such files, as NFS is
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
