package squashfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zlib"
	"github.com/ulikunitz/xz"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/lz4"
)

// decompressor decodes blocks. It fills dst as far as the content of the block
// goes and returns how far that is; what goes beyond dst is left out.
type decompressor func(dst, stored []byte) (int, error)

// newDecompressor returns what decodes blocks of up to blockSize bytes.
func newDecompressor(compressor uint16, blockSize int) (decompressor, error) {
	switch compressor {
	case compressorGzip:
		return inflate, nil
	case compressorXZ:
		return decodeXZ, nil
	case compressorLZ4:
		return lz4.Decode, nil
	case compressorZstd:
		// The smallest bounds that the decoder takes are those of metadata.
		return container.Unzstd(max(blockSize, metadataSize))
	case compressorLZO, compressorLZMA:
		name := map[uint16]string{compressorLZO: "lzo", compressorLZMA: "lzma"}[compressor]
		return nil, fmt.Errorf("%w: it is compressed with %s; make it anew with another compressor: unsquashfs, then mksquashfs -comp zstd", container.ErrUnsupported, name)
	}
	return nil, fmt.Errorf("%w: compressor %d, expected 1 to 6", container.ErrFormat, compressor)
}

// fill reads what comes out of r, as a decompressor does.
func fill(dst []byte, r io.Reader) (int, error) {
	n, err := io.ReadFull(r, dst)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return n, nil
	}
	return n, err
}

func inflate(dst, stored []byte) (int, error) {
	r, err := zlib.NewReader(bytes.NewReader(stored))
	if err != nil {
		return 0, err
	}
	n, err := fill(dst, r)
	return n, errors.Join(err, r.Close())
}

// Parts of an xz stream (The .xz File Format, 2.1.1 and 3.1).
const (
	xzStreamHeader   = 12
	xzFilterCount    = 0x03 // in the flags of a block header
	xzHasPackedSize  = 0x40
	xzHasContentSize = 0x80
	xzLZMA2          = 0x21
	xzPresetFilters  = 4 // where the options of squashfs say which filters may be used
	// xzMaxDictionary is in the encoding of xz: 2 MiB. Those of squashfs are no
	// larger than a block, which has at most 1 MiB.
	xzMaxDictionary = 18
)

// decodeXZ decodes an xz stream. Its header is looked at first: a dictionary is
// allocated as large as it says.
func decodeXZ(dst, stored []byte) (int, error) {
	if err := checkXZ(stored); err != nil {
		return 0, err
	}
	r, err := xz.ReaderConfig{SingleStream: true}.NewReader(bytes.NewReader(stored))
	if err != nil {
		return 0, err
	}
	return fill(dst, r)
}

// errXZFilters says that code may have been rearranged before it was compressed.
var errXZFilters = fmt.Errorf("%w: xz with filters for executables; make the squashfs anew without -Xbcj", container.ErrUnsupported)

// checkXZOptions refuses filters, which any block may or may not use.
func (m *metadataReader) checkXZOptions() error {
	c := &cursor{m: m, what: "options of the compressor", at: superblockSize}
	c.bytes(xzPresetFilters)
	if filters := c.uint32(); filters != 0 && c.err == nil {
		return errXZFilters
	}
	return c.err
}

// checkXZ checks the header of the first block of a stream. Others follow only
// when dst has room left, and then they have headers of the same encoder.
func checkXZ(stored []byte) error {
	if len(stored) < xzStreamHeader+2 {
		return io.ErrUnexpectedEOF
	}
	flags := stored[xzStreamHeader+1]
	rest := stored[xzStreamHeader+2:]
	for _, has := range []byte{xzHasPackedSize, xzHasContentSize} {
		if flags&has == 0 {
			continue
		}
		_, n := binary.Uvarint(rest)
		if n <= 0 {
			return io.ErrUnexpectedEOF
		}
		rest = rest[n:]
	}
	switch {
	case len(rest) < 3:
		return io.ErrUnexpectedEOF
	case flags&xzFilterCount != 0:
		return errXZFilters
	case rest[0] != xzLZMA2 || rest[1] != 1 || rest[2] > xzMaxDictionary:
		return fmt.Errorf("%w: an xz filter %x, expected LZMA2, 2101, with a dictionary of up to 2 MiB", container.ErrFormat, rest[:3])
	}
	return nil
}
