package client

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Descriptor returns a descriptor.
func Descriptor(mediaType string, d digest.Digest, size int64) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: size}
}

// hole is the size and alignment of runs of zeros that are skipped, in bytes.
const hole = 64 << 10

// SparseFile is a file being written from beginning to end, with holes for runs
// of zeros. Nobody sees it under its name before Commit.
type SparseFile struct {
	file *os.File
	path string
	size int64
	data int64  // bytes of it that are no hole
	tail []byte // less than a hole, not written yet
}

// CreateSparse begins a file that will replace path.
func CreateSparse(path string) (*SparseFile, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.part")
	if err != nil {
		return nil, err
	}
	return &SparseFile{file: f, path: path, tail: make([]byte, 0, hole)}, nil
}

// Write appends p.
func (s *SparseFile) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		n := min(hole-len(s.tail), len(p)-written)
		if len(s.tail) == 0 && n == hole {
			if err := s.put(p[written : written+n]); err != nil {
				return written, err
			}
			written += n
			continue
		}
		s.tail = append(s.tail, p[written:written+n]...)
		written += n
		if len(s.tail) == hole {
			if err := s.flush(); err != nil {
				return written, err
			}
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

func (s *SparseFile) put(p []byte) error {
	if !bytes.Equal(p, zeros[:len(p)]) {
		if _, err := s.file.WriteAt(p, s.size); err != nil {
			return err
		}
		s.data += int64(len(p))
	}
	s.size += int64(len(p))
	return nil
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
