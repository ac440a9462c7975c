package payload

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// Of the .xz file format, version 1.2.1. Kernels are compressed with the x86
// filter in front of LZMA2, which the xz package for Go does not know.
const (
	xzMagic        = "\xfd7zXZ\x00"
	xzFilterX86    = 0x04
	xzFilterLZMA2  = 0x21
	xzPackedSize   = 0x40 // flags of a block's header
	xzUnpackedSize = 0x80
	xzReserved     = 0x3c
	// xzMaxFiltered is how much a block with a filter may have in it, because it
	// is held whole.
	xzMaxFiltered = 256 << 20
)

// xzChecks are the ways to check a block, by the number in the stream's flags
// (section 2.1.1.2), and how many bytes each has.
var xzCheckSizes = [16]int{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}

func newXZCheck(id byte) hash.Hash {
	switch id {
	case 1:
		return crc32.NewIEEE()
	case 4:
		return crc64.New(crc64.MakeTable(crc64.ECMA))
	case 10:
		return sha256.New()
	}
	return nil
}

// countingReader counts the bytes read of r.
type countingReader struct {
	r *bufio.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func (c *countingReader) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// xzReader reads one stream, and leaves what comes after its index and footer.
type xzReader struct {
	source *countingReader
	check  byte // how blocks are checked; set when begun
	begun  bool
	block  io.Reader // nil between blocks
	sum    hash.Hash // nil: this check is not known, and passed over
	start  int64     // where the block's data begins
	err    error
}

func (x *xzReader) Read(p []byte) (int, error) {
	for x.err == nil {
		if x.block == nil {
			x.err = x.next()
			continue
		}
		n, err := x.block.Read(p)
		if x.sum != nil {
			x.sum.Write(p[:n])
		}
		if err == io.EOF {
			err = x.endBlock()
		}
		if x.err = err; n > 0 {
			return n, nil
		}
	}
	return 0, x.err
}

func (x *xzReader) full(what string, p []byte) error {
	if _, err := io.ReadFull(x.source, p); err != nil {
		return fmt.Errorf("read %s: %w", what, noEOF(err))
	}
	return nil
}

// next begins a block. It returns io.EOF after the last.
func (x *xzReader) next() error {
	if !x.begun {
		if err := x.header(); err != nil {
			return err
		}
		x.begun = true
	}
	words, err := x.source.ReadByte()
	if err != nil {
		return fmt.Errorf("read the header of a block: %w", noEOF(err))
	}
	if words == 0 {
		return x.index()
	}
	header := make([]byte, 4*(int(words)+1))
	header[0] = words
	if err := x.full("the header of a block", header[1:]); err != nil {
		return err
	}
	body := len(header) - crc32.Size
	if crc32.ChecksumIEEE(header[:body]) != binary.LittleEndian.Uint32(header[body:]) {
		return errors.New("the header of a block has a wrong CRC")
	}
	return x.begin(header[:body])
}

// header reads the header of the stream.
func (x *xzReader) header() error {
	header := make([]byte, 12)
	if err := x.full("the header", header); err != nil {
		return err
	}
	if crc32.ChecksumIEEE(header[6:8]) != binary.LittleEndian.Uint32(header[8:]) || header[6] != 0 || header[7] > 15 {
		return errors.New("the header has a wrong CRC or unknown flags")
	}
	x.check = header[7]
	return nil
}

// begin reads the header of a block, without its CRC, and makes its filters.
func (x *xzReader) begin(header []byte) error {
	flags := header[1]
	if flags&xzReserved != 0 {
		return fmt.Errorf("%w: flags %#x of a block", ErrUnsupported, flags)
	}
	fields := bytes.NewReader(header[2:])
	for _, flag := range []byte{xzPackedSize, xzUnpackedSize} {
		if flags&flag == 0 {
			continue
		}
		if _, err := binary.ReadUvarint(fields); err != nil {
			return fmt.Errorf("sizes of a block: %w", noEOF(err))
		}
	}
	filtered, dictionary, err := xzFilters(fields, int(flags&3)+1)
	if err != nil {
		return err
	}
	x.start = x.source.n
	// What is called capacity is how far back the stream may refer.
	data, err := lzma.Reader2Config{DictCap: dictionary}.NewReader2(x.source)
	if err != nil {
		return err
	}
	x.block, x.sum = data, newXZCheck(x.check)
	if filtered {
		x.block = &x86Reader{source: data}
	}
	return nil
}

// xzFilters reads the filters of a block: LZMA2, alone or after that for x86.
func xzFilters(fields *bytes.Reader, n int) (filtered bool, dictionary int, err error) {
	for i := range n {
		id, err := binary.ReadUvarint(fields)
		if err != nil {
			return false, 0, fmt.Errorf("filters of a block: %w", noEOF(err))
		}
		size, err := binary.ReadUvarint(fields)
		if err != nil || size > uint64(fields.Len()) {
			return false, 0, fmt.Errorf("filters of a block: %w", io.ErrUnexpectedEOF)
		}
		properties := make([]byte, size)
		_, _ = fields.Read(properties)
		last := i == n-1
		switch {
		case id == xzFilterLZMA2 && last && size == 1:
			dictionary, err = xzDictionary(properties[0])
			return filtered, dictionary, err
		case id == xzFilterX86 && !last && !filtered && size == 0:
			filtered = true
		default:
			return false, 0, fmt.Errorf("%w: filter %#x of xz, expected LZMA2, or x86 and LZMA2", ErrUnsupported, id)
		}
	}
	return false, 0, errors.New("a block has no filter")
}

// xzDictionary returns the size of a dictionary (section 5.3.1).
func xzDictionary(bits byte) (int, error) {
	size := int64(2|bits&1) << (bits/2 + 11)
	if bits > 40 || size > maxWindow {
		return 0, fmt.Errorf("%w: a dictionary of %d bytes, expected at most %d", ErrUnsupported, size, maxWindow)
	}
	return int(max(size, lzma.MinDictCap)), nil
}

// endBlock reads the padding and the check of a block.
func (x *xzReader) endBlock() error {
	x.block = nil
	padding := -(x.source.n - x.start) & 3
	end := make([]byte, int(padding)+xzCheckSizes[x.check])
	if err := x.full("the check of a block", end); err != nil {
		return err
	}
	if x.sum == nil {
		return nil
	}
	want := x.sum.Sum(nil)
	if x.check != 10 { // CRCs are little-endian.
		for i, j := 0, len(want)-1; i < j; i, j = i+1, j-1 {
			want[i], want[j] = want[j], want[i]
		}
	}
	if !bytes.Equal(end[padding:], want) {
		return errors.New("the content of a block does not match its check")
	}
	return nil
}

// index passes over the index, whose first byte was read, and the footer.
func (x *xzReader) index() error {
	start := x.source.n - 1
	records, err := binary.ReadUvarint(x.source)
	for ; err == nil && records > 0; records-- {
		if _, err = binary.ReadUvarint(x.source); err == nil {
			_, err = binary.ReadUvarint(x.source)
		}
	}
	if err != nil {
		return fmt.Errorf("read the index: %w", noEOF(err))
	}
	padding := -(x.source.n - start) & 3
	rest := make([]byte, int(padding)+crc32.Size+12)
	if err := x.full("the footer", rest); err != nil {
		return err
	}
	if !bytes.HasSuffix(rest, []byte("YZ")) {
		return errors.New("the stream does not end with its footer")
	}
	return io.EOF
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
