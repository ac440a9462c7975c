package payload

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/cloudlets/cloudlets/converter/lz4"
)

// Of the legacy frame of LZ4 (doc/lz4_Frame_format.md, "Legacy frame"): a magic,
// and blocks with their length before them, each of 8 MiB but for the last.
const (
	lz4Magic     = "\x02\x21\x4c\x18"
	lz4Block     = 8 << 20
	lz4MaxStored = lz4Block + lz4Block/255 + 16 // of what does not compress
)

// lz4Reader reads a legacy frame. It ends where the source does, or with a block
// of no bytes.
type lz4Reader struct {
	source *bufio.Reader
	begun  bool
	stored []byte
	block  []byte // of lz4Block bytes
	left   []byte // of block, to be read
	err    error
}

func (z *lz4Reader) Read(p []byte) (int, error) {
	for len(z.left) == 0 {
		if z.err != nil {
			return 0, z.err
		}
		z.err = z.next()
	}
	n := copy(p, z.left)
	z.left = z.left[n:]
	return n, nil
}

// next decodes a block.
func (z *lz4Reader) next() error {
	var word [4]byte
	for {
		switch n, err := io.ReadFull(z.source, word[:]); {
		case err == io.EOF && z.begun:
			return io.EOF
		case err != nil:
			return fmt.Errorf("%d bytes stand where the length of a block was expected: %w", n, io.ErrUnexpectedEOF)
		}
		// A frame can follow the frame.
		if z.begun && string(word[:]) != lz4Magic {
			break
		}
		z.begun = true
	}
	size := binary.LittleEndian.Uint32(word[:])
	if size == 0 {
		return io.EOF
	}
	if size > lz4MaxStored {
		return fmt.Errorf("a block of %d bytes: expected at most %d", size, lz4MaxStored)
	}
	if z.block == nil {
		z.block, z.stored = make([]byte, lz4Block), make([]byte, lz4MaxStored)
	}
	stored := z.stored[:size]
	if n, err := io.ReadFull(z.source, stored); err != nil {
		return fmt.Errorf("a block has %d of its %d bytes: %w", n, size, err)
	}
	n, err := lz4.Decode(z.block, stored)
	z.left = z.block[:n]
	return err
}
