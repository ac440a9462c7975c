package container

import (
	"errors"
	"fmt"
	"io"
)

// Errors that readers wrap.
var (
	// ErrFormat says that the bytes are not a sound file of the format.
	ErrFormat = errors.New("not a sound file")
	// ErrUnsupported says that a file uses a feature that is refused, because it
	// leads out of the file or because nothing here reads it.
	ErrUnsupported = errors.New("feature refused")
)

// File is a foreign file. Offsets and lengths come from its own tables, so
// nothing of them is believed.
type File struct {
	Reader io.ReaderAt
	Size   int64 // bytes
}

// Contains returns an error, which wraps ErrFormat, unless n bytes at off lie
// within the file. what names them: "L1 table".
func (f File) Contains(what string, off uint64, n int64) error {
	if n < 0 || off > uint64(f.Size) || n > f.Size-int64(off) {
		return fmt.Errorf("%w: the %s of %d bytes at %d ends outside the file of %d bytes", ErrFormat, what, n, off, f.Size)
	}
	return nil
}

// Bytes returns the n bytes at off, which must lie within the file. Nothing is
// allocated before that is known; how much they may be at most is for the caller
// to check.
func (f File) Bytes(what string, off uint64, n int64) ([]byte, error) {
	if err := f.Contains(what, off, n); err != nil {
		return nil, err
	}
	p := make([]byte, n)
	if err := ReadFull(f.Reader, p, int64(off)); err != nil {
		return nil, fmt.Errorf("read the %s at %d: %w", what, off, err)
	}
	return p, nil
}

// ReadFull fills p with what stands at off. A reader that ends before is an
// error that wraps io.ErrUnexpectedEOF.
func ReadFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}
