package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/cloudlets/cloudlets/registry/metadata"
)

const (
	formatName    = "cloudlets journal"
	formatVersion = 1

	// maxLine bounds one line in bytes: a manifest of 4 MiB in base64, and what
	// is said of it.
	maxLine = 8 << 20
	// maxWindow bounds what decoding needs in memory, in bytes. It is the most
	// that the encoder uses.
	maxWindow = 1 << 20
)

// ErrFormat is wrapped by errors about bytes that are not a journal.
var ErrFormat = errors.New("not a valid journal")

// header is the first line of a journal: see metadata.Journal.
type header struct {
	Format   string `json:"format"`
	Version  int    `json:"version"`
	Number   int64  `json:"number"`
	Complete bool   `json:"complete,omitempty"`
	Previous int64  `json:"previous,omitempty"`
	Base     int64  `json:"base,omitempty"`
}

// encoder writes a journal.
type encoder struct {
	zstd *zstd.Encoder
	json *json.Encoder
}

func newEncoder(w io.Writer) (*encoder, error) {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(maxWindow))
	if err != nil {
		return nil, fmt.Errorf("make zstd encoder: %w", err)
	}
	return &encoder{zstd: z, json: json.NewEncoder(z)}, nil
}

// begin writes the header. It has to be first.
func (e *encoder) begin(j metadata.Journal) error {
	return e.json.Encode(header{formatName, formatVersion, j.Number, j.Complete, j.Previous, j.Base})
}

func (e *encoder) add(entry metadata.Entry) error { return e.json.Encode(entry) }

func (e *encoder) Close() error { return e.zstd.Close() }

// decoder reads a journal.
type decoder struct {
	header header
	zstd   *zstd.Decoder
	lines  *bufio.Scanner
}

// newDecoder reads the header of a journal. The error wraps ErrFormat where
// there is none.
func newDecoder(r io.Reader) (_ *decoder, err error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("make zstd decoder: %w", err)
	}
	d := &decoder{zstd: z, lines: bufio.NewScanner(z)}
	d.lines.Buffer(nil, maxLine)
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	if !d.lines.Scan() {
		return nil, fmt.Errorf("%w: it has no header: %w", ErrFormat, d.ended())
	}
	if err := decodeLine(d.lines.Bytes(), &d.header); err != nil {
		return nil, err
	}
	if d.header.Format != formatName || d.header.Number <= 0 {
		return nil, fmt.Errorf("%w: expected the format %q and a number, found %+v", ErrFormat, formatName, d.header)
	}
	if d.header.Previous >= d.header.Number || d.header.Base >= d.header.Number {
		return nil, fmt.Errorf("%w: number %d follows %d and %d", ErrFormat, d.header.Number, d.header.Previous, d.header.Base)
	}
	if d.header.Version != formatVersion {
		return nil, fmt.Errorf("%w: version %d, this program reads version %d", ErrFormat, d.header.Version, formatVersion)
	}
	return d, nil
}

// ended returns why there are no more lines: io.EOF at the end.
func (d *decoder) ended() error {
	if err := d.lines.Err(); err != nil {
		return err
	}
	return io.EOF
}

// next returns the next entry, or io.EOF after the last one.
func (d *decoder) next() (e metadata.Entry, err error) {
	if !d.lines.Scan() {
		if err := d.ended(); !errors.Is(err, io.EOF) {
			return e, fmt.Errorf("%w: %w", ErrFormat, err)
		}
		return e, io.EOF
	}
	if err := decodeLine(d.lines.Bytes(), &e); err != nil {
		return e, err
	}
	if e.Kind == "" || e.Repository == "" {
		return e, fmt.Errorf("%w: an entry without a kind or a repository", ErrFormat)
	}
	return e, nil
}

func (d *decoder) Close() { d.zstd.Close() }

// decodeLine decodes one JSON value that is all of a line.
func decodeLine(line []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if d.More() {
		return fmt.Errorf("%w: more than one value in a line", ErrFormat)
	}
	return nil
}
