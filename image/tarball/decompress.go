package tarball

import (
	"bufio"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Compression is how a stream is compressed.
type Compression string

// The compressions that Decompress knows.
const (
	Uncompressed Compression = "none"
	Gzip         Compression = "gzip"  // RFC 1952
	Zstd         Compression = "zstd"  // RFC 8878
	XZ           Compression = "xz"    // the .xz file format, version 1.0.4
	Bzip2        Compression = "bzip2" // as libbzip2 writes it
)

var (
	magicGzip  = []byte{0x1f, 0x8b}
	magicZstd  = []byte{0x28, 0xb5, 0x2f, 0xfd}
	magicXZ    = []byte{0xfd, '7', 'z', 'X', 'Z', 0x00}
	magicBzip2 = []byte("BZh")
)

// maxWindow bounds how far back compressed data may refer, and so the memory
// that reading it takes, in bytes. It is what `zstd --long` makes.
const maxWindow = 128 << 20

// Decompress returns the content of a stream that may be compressed, as its
// first bytes say, and how it was. It trusts no name. What is not compressed
// in a known way is returned as it is. The caller must close the result, which
// does not close r.
//
// Nothing bounds the length of the content but the caller.
func Decompress(r io.Reader) (io.ReadCloser, Compression, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	head, err := br.Peek(xzPeek)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, "", fmt.Errorf("read the start of the stream: %w", err)
	}
	kind := DetectCompression(head)
	content, err := open(br, kind, head)
	if err != nil {
		return nil, kind, fmt.Errorf("read %s: %w", kind, err)
	}
	return &decompressor{content, kind}, kind, nil
}

// DetectCompression says by its first bytes how a stream is compressed.
func DetectCompression(head []byte) Compression {
	for _, m := range []struct {
		magic []byte
		kind  Compression
	}{{magicGzip, Gzip}, {magicZstd, Zstd}, {magicXZ, XZ}, {magicBzip2, Bzip2}} {
		if len(head) >= len(m.magic) && string(head[:len(m.magic)]) == string(m.magic) {
			return m.kind
		}
	}
	return Uncompressed
}

func open(r io.Reader, kind Compression, head []byte) (io.ReadCloser, error) {
	switch kind {
	case Gzip:
		return gzip.NewReader(r)
	case Zstd:
		d, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case XZ:
		if err := checkXZ(head); err != nil {
			return nil, err
		}
		d, err := xz.NewReader(r)
		return io.NopCloser(d), err
	case Bzip2:
		return io.NopCloser(bzip2.NewReader(r)), nil
	}
	return io.NopCloser(r), nil
}

// decompressor says what was being read where reading fails.
type decompressor struct {
	io.ReadCloser
	kind Compression
}

func (d *decompressor) Read(p []byte) (int, error) {
	n, err := d.ReadCloser.Read(p)
	if err == nil || err == io.EOF || d.kind == Uncompressed {
		return n, err
	}
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("the stream is cut short: %w", err)
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		err = fmt.Errorf("it refers back further than %d MiB, as zstd --long=31 makes it: compress it with --long=27 at most: %w", maxWindow>>20, err)
	}
	return n, fmt.Errorf("%s: %w", d.kind, err)
}

// The start of an .xz file (version 1.0.4, sections 2.1.1 and 3.1): a stream
// header of 12 bytes, then the first block's header — its size, flags, two
// optional lengths of at most 9 bytes, and up to four filters, of which LZMA2,
// the last, has one byte of properties: the size of its dictionary.
const (
	xzStreamHeader  = 12
	xzPeek          = xzStreamHeader + 1024 // the longest block header
	xzLZMA2         = 0x21
	xzHasPacked     = 0x40
	xzHasUnpacked   = 0x80
	xzMaxDictionary = 30 // in the encoding of section 5.3.1: 128 MiB
)

// checkXZ refuses a file whose first block asks for a greater dictionary than
// maxWindow. The decoder makes room for what the file asks.
func checkXZ(head []byte) error {
	bad := errors.New("its first block header is not one this program can read")
	if len(head) < xzStreamHeader+2 {
		return io.ErrUnexpectedEOF
	}
	header := head[xzStreamHeader:]
	if header[0] == 0 {
		return nil // no block: the file is empty
	}
	flags := header[1]
	p := header[2:]
	for _, flag := range []byte{xzHasPacked, xzHasUnpacked} {
		if flags&flag == 0 {
			continue
		}
		n := 0
		for n < len(p) && p[n]&0x80 != 0 {
			n++
		}
		if n >= len(p) {
			return bad
		}
		p = p[n+1:]
	}
	// Only LZMA2 alone is supported by the decoder.
	if len(p) < 3 || flags&3 != 0 || p[0] != xzLZMA2 || p[1] != 1 {
		return bad
	}
	if p[2] > xzMaxDictionary {
		return fmt.Errorf("its dictionary is greater than %d MiB", maxWindow>>20)
	}
	return nil
}
