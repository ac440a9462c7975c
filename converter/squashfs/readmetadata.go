package squashfs

import (
	"encoding/binary"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
)

// maxDecoded bounds how many bytes of metadata are decoded, so that those of a
// small file do not fill the memory.
const maxDecoded = 512 << 20

// metadataReader reads tables of metadata. Each block is decoded once.
type metadataReader struct {
	file       container.File // what the superblock says is used of it
	decompress decompressor
	blocks     map[uint64]metadataBlock // by their place in the file
	decoded    int64                    // bytes of all blocks
}

type metadataBlock struct {
	content []byte
	next    uint64 // where the block after it is
}

// block returns the block at a place in the file.
func (m *metadataReader) block(at uint64) (metadataBlock, error) {
	if b, ok := m.blocks[at]; ok {
		return b, nil
	}
	header, err := m.file.Bytes("header of a metadata block", at, metadataHeaderSize)
	if err != nil {
		return metadataBlock{}, err
	}
	word := binary.LittleEndian.Uint16(header)
	length := int64(word &^ metadataStored)
	if length == 0 || length > metadataSize {
		return metadataBlock{}, fmt.Errorf("%w: the metadata block at %d has %d bytes, expected 1 to %d", container.ErrFormat, at, length, metadataSize)
	}
	content, err := m.file.Bytes("metadata block", at+metadataHeaderSize, length)
	if err != nil {
		return metadataBlock{}, err
	}
	if word&metadataStored == 0 {
		if content, err = m.decode(content); err != nil {
			return metadataBlock{}, fmt.Errorf("metadata block at %d: %w", at, err)
		}
	}
	if m.decoded += int64(len(content)); m.decoded > maxDecoded {
		return metadataBlock{}, fmt.Errorf("%w: it has more than %d bytes of metadata", container.ErrUnsupported, maxDecoded)
	}
	b := metadataBlock{content: content, next: at + metadataHeaderSize + uint64(length)}
	if m.blocks == nil {
		m.blocks = make(map[uint64]metadataBlock)
	}
	m.blocks[at] = b
	return b, nil
}

func (m *metadataReader) decode(stored []byte) ([]byte, error) {
	content := make([]byte, metadataSize)
	n, err := m.decompress(content, stored)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", container.ErrFormat, err)
	}
	return content[:n], nil
}

// cursor is a place in a table of metadata. The first error is kept; what is
// read after it is zeros.
type cursor struct {
	m      *metadataReader
	what   string // is read, for errors
	at     uint64 // the block, in the file
	offset int    // in the block's content
	err    error
}

// at returns the cursor of a reference into the table that starts at a place in
// the file.
func (m *metadataReader) at(what string, table uint64, ref reference) *cursor {
	return &cursor{m: m, what: what, at: table + ref.block(), offset: int(ref.offset())}
}

// bytes returns the next n bytes, which callers bound.
func (c *cursor) bytes(n int) []byte {
	p := make([]byte, n)
	c.read(p)
	return p
}

func (c *cursor) read(p []byte) {
	for len(p) > 0 && c.err == nil {
		b, err := c.m.block(c.at)
		switch {
		case err != nil:
			c.err = fmt.Errorf("read the %s: %w", c.what, err)
		case c.offset > len(b.content):
			c.err = fmt.Errorf("%w: the %s starts at %d of a metadata block of %d bytes", container.ErrFormat, c.what, c.offset, len(b.content))
		case c.offset == len(b.content):
			c.at, c.offset = b.next, 0
		default:
			n := copy(p, b.content[c.offset:])
			c.offset += n
			p = p[n:]
		}
	}
}

func (c *cursor) uint16() uint16 {
	var p [2]byte
	c.read(p[:])
	return binary.LittleEndian.Uint16(p[:])
}

func (c *cursor) uint32() uint32 {
	var p [4]byte
	c.read(p[:])
	return binary.LittleEndian.Uint32(p[:])
}

func (c *cursor) uint64() uint64 {
	var p [8]byte
	c.read(p[:])
	return binary.LittleEndian.Uint64(p[:])
}

// entry returns the cursor of an entry of a table whose blocks are listed at a
// place in the file. Entries do not go across blocks.
func (m *metadataReader) entry(what string, list, number uint64, size int) *cursor {
	perBlock := uint64(metadataSize / size)
	c := &cursor{m: m, what: what, offset: int(number % perBlock * uint64(size))}
	place, err := m.file.Bytes("list of blocks of the "+what, list+number/perBlock*8, 8)
	if err != nil {
		c.err = err
		return c
	}
	c.at = binary.LittleEndian.Uint64(place)
	return c
}
