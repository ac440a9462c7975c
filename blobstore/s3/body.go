package s3

import (
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
)

var errEnded = errors.New("the request is over")

// body is what requests send. The HTTP client may go on reading for a moment
// after a request has failed: end waits for that and stops it, so that the
// content can be freed.
type body struct {
	mu      sync.RWMutex
	content io.ReaderAt
	ended   bool
}

// ReadAt reads, as [io.ReaderAt] asks, until the end.
func (b *body) ReadAt(p []byte, off int64) (int, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.ended {
		return 0, errEnded
	}
	return b.content.ReadAt(p, off)
}

func (b *body) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
}

// reader returns a reader for one request. It has no Seek, by which the client
// would rewind it for another while the first is still reading.
func (b *body) reader(size int64) io.Reader {
	return struct{ io.Reader }{io.NewSectionReader(b, 0, size)}
}

// checksum returns the CRC-32C in base64.
func (b *body) checksum(size int64) (string, error) {
	h := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	if _, err := io.Copy(h, io.NewSectionReader(b, 0, size)); err != nil {
		return "", fmt.Errorf("read from the spool: %w", err)
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil)), nil
}
