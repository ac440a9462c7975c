package payload

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz/lzma"
)

// Format is what content is compressed with.
type Format string

// Formats. None is what begins like no compressed stream that is known.
const (
	None  Format = ""
	Gzip  Format = "gzip"
	Bzip2 Format = "bzip2"
	LZMA  Format = "lzma"
	XZ    Format = "xz"
	LZ4   Format = "lz4"
	Zstd  Format = "zstd"
	LZO   Format = "lzo"
)

// Errors that are wrapped.
var (
	// ErrFormat says that a stream is damaged.
	ErrFormat = errors.New("not a sound compressed stream")
	// ErrUnsupported says that it is compressed in a way that is not read here.
	ErrUnsupported = errors.New("compression that is not supported")
)

// MagicSize is how many bytes Detect looks at.
const MagicSize = 13

// maxWindow is how many bytes back a stream may refer, as in zstd -T --ultra
// without --long.
const maxWindow = 128 << 20

var magics = []struct {
	format Format
	magic  string
}{
	{Gzip, "\x1f\x8b"},
	{Bzip2, "BZh"},
	{XZ, xzMagic},
	{LZ4, lz4Magic},
	{Zstd, "\x28\xb5\x2f\xfd"},
	{LZO, "\x89LZO"},
}

// Detect says what content that begins so is compressed with.
func Detect(head []byte) Format {
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return m.format
		}
	}
	// LZMA has no magic: its properties as everybody writes them, and a
	// dictionary of whole KiB (lib/decompress.c looks at as much).
	if len(head) >= MagicSize && head[0] == 0x5d && head[1] == 0 && head[2] == 0 && lzma.ValidHeader(head[:lzma.HeaderLen]) {
		return LZMA
	}
	return None
}

// NewReader returns a reader of the content of a stream, and what it was
// compressed with. Bytes after the stream are left in r, but for zstd and LZ4,
// which go on to the end of r. The reader must be closed. Errors wrap [ErrFormat],
// [ErrUnsupported] and those of r.
func NewReader(r *bufio.Reader) (io.ReadCloser, Format, error) {
	head, err := r.Peek(MagicSize)
	if err != nil && err != io.EOF {
		return nil, None, err
	}
	format := Detect(head)
	content, err := newReader(r, format)
	if err != nil {
		return nil, format, wrap(format, err)
	}
	return &reader{content, format}, format, nil
}

func newReader(r *bufio.Reader, format Format) (io.ReadCloser, error) {
	switch format {
	case Gzip:
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		z.Multistream(false)
		return z, nil
	case Bzip2:
		return io.NopCloser(bzip2.NewReader(r)), nil
	case LZMA:
		z, err := lzma.ReaderConfig{DictCap: maxWindow}.NewReader(r)
		return io.NopCloser(z), err
	case XZ:
		return io.NopCloser(&xzReader{source: &countingReader{r: r}}), nil
	case LZ4:
		return io.NopCloser(&lz4Reader{source: r}), nil
	case Zstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	case LZO:
		return nil, fmt.Errorf("%w: LZO", ErrUnsupported)
	}
	return nil, fmt.Errorf("%w: it begins like none of gzip, bzip2, LZMA, xz, LZ4, zstd", ErrFormat)
}

// reader wraps errors.
type reader struct {
	io.ReadCloser
	format Format
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = wrap(r.format, err)
	}
	return n, err
}

func wrap(format Format, err error) error {
	if errors.Is(err, ErrFormat) || errors.Is(err, ErrUnsupported) {
		return err
	}
	return fmt.Errorf("%w: %s: %w", ErrFormat, format, err)
}

// Decode returns the content of a stream, of at most limit bytes. Bytes after the
// stream are ignored.
func Decode(compressed []byte, limit int64) ([]byte, Format, error) {
	r, format, err := NewReader(bufio.NewReader(bytes.NewReader(compressed)))
	if err != nil {
		return nil, format, err
	}
	content, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, format, err
	}
	if int64(len(content)) > limit {
		return nil, format, fmt.Errorf("%w: %s of %d bytes has more than %d bytes in it", ErrFormat, format, len(compressed), limit)
	}
	return content, format, nil
}
