package client

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// Descriptor returns a descriptor.
func Descriptor(mediaType string, d digest.Digest, size int64) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: size}
}

// hole is the size and alignment of runs of zeros that are skipped, in bytes.
const hole = 64 << 10

// flushSize is how much of a file is written before the kernel is asked to bring
// it to the disk, in bytes.
const flushSize = 32 << 20

// SparseFile is a file being written from beginning to end, with holes for runs
// of zeros. Nobody sees it under its name before Commit.
type SparseFile struct {
	file    *os.File
	path    string
	size    int64
	flushed int64  // up to where the kernel was asked to write
	data    int64  // bytes of it that are no hole
	tail    []byte // less than a hole, not written yet
}

// CreateSparse begins a file that will replace path.
func CreateSparse(path string) (*SparseFile, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.part")
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, errors.Unwrap(err)) // without the name that it has until then
	}
	return &SparseFile{file: f, path: path, tail: make([]byte, 0, hole)}, nil
}

// Write appends p.
func (s *SparseFile) Write(p []byte) (int, error) {
	written := 0
	if len(s.tail) > 0 {
		written = min(hole-len(s.tail), len(p))
		s.tail = append(s.tail, p[:written]...)
		if len(s.tail) < hole {
			return written, nil
		}
		if err := s.flush(); err != nil {
			return 0, err
		}
	}
	whole := (len(p) - written) / hole * hole
	if err := s.put(p[written : written+whole]); err != nil {
		return written, err
	}
	s.tail = append(s.tail, p[written+whole:]...)
	return len(p), nil
}

// WriteZeros appends n zeros, as [extent.ZeroWriter] asks: whole holes without
// looking at any.
func (s *SparseFile) WriteZeros(n int64) (int64, error) {
	var written int64
	for written < n {
		if left := n - written; len(s.tail) == 0 && left >= hole {
			skipped := left / hole * hole
			s.size += skipped
			written += skipped
			continue
		}
		k, err := s.Write(zeros[:min(n-written, int64(hole-len(s.tail)))])
		written += int64(k)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

func (s *SparseFile) flush() error {
	err := s.put(s.tail)
	s.tail = s.tail[:0]
	return err
}

// zeros is what a hole reads as.
var zeros [hole]byte

// put appends p, in which holes may begin wherever a multiple of their size
// does. What is between two holes is written at once: a kernel gives large pages
// to large writes.
func (s *SparseFile) put(p []byte) error {
	for len(p) > 0 {
		data := 0
		for data < len(p) && !isHole(p[data:]) {
			data = min(data+hole, len(p))
		}
		if _, err := s.file.WriteAt(p[:data], s.size); err != nil {
			return err
		}
		s.data += int64(data)
		skipped := min(hole, len(p)-data)
		s.size += int64(data + skipped)
		s.writeBack()
		p = p[data+skipped:]
	}
	return nil
}

// writeBack has the kernel begin to write what was written to the file, so that
// little is left for Commit to wait for.
func (s *SparseFile) writeBack() {
	if s.size-s.flushed < flushSize {
		return
	}
	// An error is told by Sync.
	_ = unix.SyncFileRange(int(s.file.Fd()), s.flushed, s.size-s.flushed, unix.SYNC_FILE_RANGE_WRITE)
	s.flushed = s.size
}

// isHole tells whether p begins with a hole, or is the beginning of one.
func isHole(p []byte) bool {
	n := min(hole, len(p))
	return bytes.Equal(p[:n], zeros[:n])
}

// finish writes what is left.
func (s *SparseFile) finish() error {
	if err := s.flush(); err != nil {
		return err
	}
	return s.file.Truncate(s.size)
}

// Commit makes the file durable and gives it its name.
func (s *SparseFile) Commit() error {
	if err := s.finish(); err != nil {
		return err
	}
	if err := s.file.Chmod(0o644); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(s.file.Name(), s.path); err != nil {
		return err
	}
	s.path = ""
	return nil
}

// Close closes the file, and removes it if it was not committed.
func (s *SparseFile) Close() error {
	err := s.file.Close()
	if s.path != "" {
		err = errors.Join(err, os.Remove(s.file.Name()))
	}
	return err
}
