package registry

import (
	"bytes"
	"errors"
	"testing"
)

// limited takes so many bytes and then fails.
type limited struct {
	bytes.Buffer
	left int
}

var errFull = errors.New("full")

func (l *limited) Write(p []byte) (int, error) {
	if l.left < len(p) {
		return 0, errFull
	}
	l.left -= len(p)
	return l.Buffer.Write(p)
}

func TestBacklogWritesInOrder(t *testing.T) {
	dst := &limited{left: 1 << 20}
	b := startBacklog(dst)
	var want []byte
	for i := range 100 {
		buffer := b.buffer()
		n := copy(buffer[:], bytes.Repeat([]byte{byte(i)}, 1+i*7))
		want = append(want, buffer[:n]...)
		b.put(buffer, n)
		if i%10 > 0 {
			continue
		}
		if err := b.flush(); err != nil || !bytes.Equal(dst.Bytes(), want) {
			t.Fatalf("after a flush %d bytes are written, want %d: %v", dst.Len(), len(want), err)
		}
	}
	if err := b.end(); err != nil || !bytes.Equal(dst.Bytes(), want) {
		t.Fatalf("at the end %d bytes are written, want %d: %v", dst.Len(), len(want), err)
	}
}

func TestBacklogTellsOfTheFirstError(t *testing.T) {
	dst := &limited{left: 10}
	b := startBacklog(dst)
	for range 20 { // more than there are buffers: nobody is stuck
		b.put(b.buffer(), 4)
	}
	if err := b.flush(); !errors.Is(err, errFull) || !b.failed.Load() {
		t.Errorf("flush gives %v", err)
	}
	b.put(b.buffer(), 1) // would fit, but not where it belongs
	if err := b.end(); !errors.Is(err, errFull) || dst.Len() != 8 {
		t.Errorf("end gives %v after %d bytes", err, dst.Len())
	}
}
