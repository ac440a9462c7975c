package payload

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// Of the legacy frame of LZ4 (doc/lz4_Frame_format.md, "Legacy frame"): a magic,
// and blocks with their length before them, each of 8 MiB but for the last.
const (
	lz4Magic     = "\x02\x21\x4c\x18"
	lz4Block     = 8 << 20
	lz4MaxStored = lz4Block + lz4Block/255 + 16 // of what does not compress
	lz4MinMatch  = 4
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
	n, err := decodeLZ4(z.block, stored)
	z.left = z.block[:n]
	return err
}

// decodeLZ4 decodes a block (doc/lz4_Block_format.md), and returns how long its
// content is.
func decodeLZ4(to, from []byte) (int, error) {
	n := 0
	for at := 0; at < len(from); {
		token := from[at]
		at++
		literals, used, err := lz4Length(from[at:], token>>4)
		if at += used; err != nil {
			return 0, err
		}
		if literals > len(from)-at || literals > len(to)-n {
			return 0, fmt.Errorf("%d literals at %d of a block reach over its end", literals, at)
		}
		n += copy(to[n:], from[at:at+literals])
		if at += literals; at == len(from) {
			return n, nil // The last sequence is literals alone.
		}
		if len(from)-at < 2 {
			return 0, fmt.Errorf("a block ends within an offset: %w", io.ErrUnexpectedEOF)
		}
		offset := int(binary.LittleEndian.Uint16(from[at:]))
		at += 2
		length, used, err := lz4Length(from[at:], token&15)
		if at += used; err != nil {
			return 0, err
		}
		length += lz4MinMatch
		if offset == 0 || offset > n || length > len(to)-n {
			return 0, fmt.Errorf("a match of %d bytes, %d back, does not fit at %d of a block", length, offset, n)
		}
		repeat(to[n-offset:n+length], offset)
		n += length
	}
	return 0, fmt.Errorf("a block ends without literals: %w", io.ErrUnexpectedEOF)
}

// repeat fills p with its first n bytes over and over.
func repeat(p []byte, n int) {
	for n < len(p) {
		n += copy(p[n:], p[:n])
	}
}

// lz4Length reads a length: 15 means that bytes are added, up to the first that
// is not 255. It returns how many there were.
func lz4Length(p []byte, nibble byte) (length, used int, err error) {
	if length = int(nibble); nibble < 15 {
		return length, 0, nil
	}
	for _, b := range p {
		used++
		if length += int(b); b < 255 {
			return length, used, nil
		}
	}
	return 0, used, fmt.Errorf("a block ends within a length: %w", io.ErrUnexpectedEOF)
}
