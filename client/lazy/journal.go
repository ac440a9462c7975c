package lazy

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"sync"
)

// journal says which frames a file holds, for the next process: a record for each
// frame that was kept, its number (u32, little-endian) and the SHA-256 of its
// content. A record is a claim only: what it says is verified before it is
// believed, so that it need neither be durable nor be taken back.
type journal struct {
	file *os.File

	mu      sync.Mutex
	claimed map[uint32][sha256.Size]byte // frames that were not verified yet
}

const recordSize = 4 + sha256.Size

// openJournal reads what an earlier process has left.
func (l *Layer) openJournal() error {
	f, err := l.cache.file(l.digest, ".frames")
	if err != nil {
		return err
	}
	j := &journal{file: f, claimed: make(map[uint32][sha256.Size]byte)}
	var record [recordSize]byte
	var whole int64
	for r := bufio.NewReader(f); ; whole += recordSize {
		_, err := io.ReadFull(r, record[:])
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return errors.Join(err, f.Close())
		}
		if i := binary.LittleEndian.Uint32(record[:]); int64(i) < int64(l.index.Len()) {
			j.claimed[i] = [sha256.Size]byte(record[4:])
		}
	}
	if err := f.Truncate(whole); err != nil { // a record that was cut short
		return errors.Join(err, f.Close())
	}
	if _, err := f.Seek(whole, io.SeekStart); err != nil {
		return errors.Join(err, f.Close())
	}
	l.journal = j
	return nil
}

// add records that content of a frame was kept.
func (j *journal) add(i int, content []byte) error {
	sum := sha256.Sum256(content)
	record := append(binary.LittleEndian.AppendUint32(nil, uint32(i)), sum[:]...)
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.claimed, uint32(i))
	_, err := j.file.Write(record)
	return err
}

// claim takes the claim that a frame is held.
func (j *journal) claim(i int) (sum [sha256.Size]byte, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	sum, ok = j.claimed[uint32(i)]
	delete(j.claimed, uint32(i))
	return sum, ok
}

// revive reports whether an earlier process has kept a frame, whole.
func (l *Layer) revive(i int) bool {
	if l.journal == nil {
		return false
	}
	sum, ok := l.journal.claim(i)
	if !ok {
		return l.held.has(i)
	}
	f := l.index.At(i)
	content := make([]byte, f.ContentSize)
	if _, err := l.file.ReadAt(content, f.ContentOffset); err != nil || sha256.Sum256(content) != sum {
		return false
	}
	return l.hold(i, f.ContentSize) == nil
}
