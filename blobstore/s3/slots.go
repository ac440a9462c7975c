package s3

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// slots keeps blocks in a file that has no name, so that nothing of it outlives
// the process. What is read often is in the kernel's page cache. The oldest
// block makes room for a new one.
type slots struct {
	mu     sync.RWMutex
	file   *os.File
	byID   map[blockID]slot
	owners []blockID // of the slots, in the order of the file
	limit  int       // how many slots there may be
	next   int       // the slot to be used next
}

// slot is where a block is.
type slot struct {
	index int
	size  int // in bytes, at most blockSize
}

// newSlots returns room for size bytes in a file in dir.
func newSlots(dir string, size int64) (*slots, error) {
	file, err := tempFile(dir)
	if err != nil {
		return nil, err
	}
	return &slots{file: file, byID: make(map[blockID]slot), limit: int(size / blockSize)}, nil
}

// tempFile makes a file that has no name.
func tempFile(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make a file in %s: %w", dir, err)
	}
	return os.NewFile(uintptr(fd), "file in "+dir), nil
}

// has says whether a block is here.
func (s *slots) has(id blockID) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.byID[id]
	return ok
}

// read copies bytes at off of a block that is here, and says how many. A block
// that cannot be read is not here.
func (s *slots) read(id blockID, p []byte, off int64) (n int, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	at, ok := s.byID[id]
	if !ok {
		return 0, false
	}
	p = p[:min(int64(len(p)), int64(at.size)-off)]
	n, err := s.file.ReadAt(p, int64(at.index)*blockSize+off)
	return n, err == nil
}

// add keeps a block in the place of the oldest. The error is of the file; the
// block is then not here.
func (s *slots) add(id blockID, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.limit == 0 {
		return nil
	}
	if len(s.owners) <= s.next {
		s.owners = append(s.owners, blockID{})
	} else {
		delete(s.byID, s.owners[s.next])
	}
	index := s.next
	s.next = (s.next + 1) % s.limit
	s.owners[index] = id
	if _, err := s.file.WriteAt(data, int64(index)*blockSize); err != nil {
		return fmt.Errorf("keep a block: %w", err)
	}
	s.byID[id] = slot{index, len(data)}
	return nil
}

// close forgets all blocks.
func (s *slots) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byID, s.limit = nil, 0
	return s.file.Close()
}
