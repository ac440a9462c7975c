package lz4

import (
	"encoding/binary"
	"errors"
)

// ErrCorrupt says that a block is not a sound one.
var ErrCorrupt = errors.New("corrupt LZ4 block")

const (
	minMatch    = 4    // bytes; a match of length 0 in a token has so many
	longLength  = 15   // a length in a token that more bytes follow
	fullByte    = 0xFF // one of those bytes that another follows
	offsetBytes = 2
)

// Decode decodes a block into dst and returns how many bytes that were. It stops
// when dst is full, so that the beginning of a block can be decoded by itself.
func Decode(dst, block []byte) (n int, err error) {
	for len(block) > 0 && n < len(dst) {
		token := int(block[0])
		literals, rest, err := length(token>>4, block[1:])
		if err != nil {
			return n, err
		}
		if literals > len(rest) {
			return n, ErrCorrupt
		}
		n += copy(dst[n:], rest[:literals])
		rest = rest[literals:]
		if len(rest) == 0 || n == len(dst) {
			return n, nil // the last sequence has no match
		}
		if len(rest) < offsetBytes {
			return n, ErrCorrupt
		}
		offset := int(binary.LittleEndian.Uint16(rest))
		match, rest, err := length(token&longLength, rest[offsetBytes:])
		if err != nil {
			return n, err
		}
		if offset == 0 || offset > n {
			return n, ErrCorrupt
		}
		n += repeat(dst[n-offset:], offset, match+minMatch)
		block = rest
	}
	return n, nil
}

// length returns a length that starts in a token and may go on in the bytes
// that follow.
func length(inToken int, p []byte) (n int, rest []byte, err error) {
	n = inToken
	if n < longLength {
		return n, p, nil
	}
	for i, b := range p {
		n += int(b)
		if b != fullByte {
			return n, p[i+1:], nil
		}
	}
	return 0, nil, ErrCorrupt
}

// repeat goes on with the first offset bytes of p, for n bytes or until p is
// full, and returns how many that were. The two may overlap: bytes that were
// just written are repeated in turn.
func repeat(p []byte, offset, n int) int {
	n = min(n, len(p)-offset)
	for done := 0; done < n; {
		done += copy(p[offset+done:offset+n], p[:offset+done])
	}
	return n
}
