package extent

import (
	"bufio"
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// ErrFormat is wrapped by errors about bytes that are not an encoded map.
var ErrFormat = errors.New("not a valid extent map")

// The encoding (docs/extent-map.md). Integers of the header are little-endian,
// "varint" is the unsigned and "zigzag" the signed one of encoding/binary.
//
//	 0  signature "cloudlets extents" and a zero byte
//	18  version, u16
//	20  number of extents, u32
//	24  number of digests, u32
//	28  length of the inline bytes, u64
//	36  body, a DEFLATE stream (RFC 1951):
//	      each digest: length varint, bytes
//	      each extent: kind, one byte; length varint
//	                   a source extent then has: index of its digest varint,
//	                   offset less the end of the last extent of that digest zigzag
//	      the inline bytes, all together
//	    SHA-256 of everything before it
//
// An extent's place follows from the lengths before it, so extents can neither
// overlap nor leave gaps.
const (
	signature  = "cloudlets extents\x00"
	version    = 1
	headerSize = len(signature) + 2 + 4 + 4 + 8

	maxExtents = 16 << 20
	maxDigests = 1 << 20
	maxDigest  = 256       // bytes of one digest
	maxInline  = 512 << 20 // bytes
)

// Encode returns the encoding of m. Equal maps have equal encodings.
func (m *Map) Encode() []byte {
	var out bytes.Buffer
	out.WriteString(signature)
	var header [headerSize - len(signature)]byte
	binary.LittleEndian.PutUint16(header[0:], version)
	binary.LittleEndian.PutUint32(header[2:], uint32(len(m.runs)))
	binary.LittleEndian.PutUint32(header[6:], uint32(len(m.digests)))
	binary.LittleEndian.PutUint64(header[10:], uint64(len(m.inline)))
	out.Write(header[:])

	// Writes to a bytes.Buffer do not fail, and the level is a valid one.
	z, _ := flate.NewWriter(&out, flate.BestSpeed)
	_, _ = z.Write(m.encodeTables())
	for _, e := range m.All() {
		if e.Kind == Inline {
			_, _ = z.Write(e.Data)
		}
	}
	_ = z.Close()
	sum := sha256.Sum256(out.Bytes())
	out.Write(sum[:])
	return out.Bytes()
}

// encodeTables returns the digests and the extents.
func (m *Map) encodeTables() []byte {
	b := make([]byte, 0, 8*len(m.runs)+128*len(m.digests))
	for _, d := range m.digests {
		b = binary.AppendUvarint(b, uint64(len(d)))
		b = append(b, d...)
	}
	ends := make([]int64, len(m.digests))
	for i, r := range m.runs {
		n := m.end(i) - m.starts[i]
		b = append(b, byte(min(r.blob, firstBlob)))
		b = binary.AppendUvarint(b, uint64(n))
		if r.blob >= firstBlob {
			id := r.blob - firstBlob
			b = binary.AppendUvarint(b, uint64(id))
			b = binary.AppendVarint(b, r.off-ends[id])
			ends[id] = r.off + n
		}
	}
	return b
}

// Decode reads a map from its encoding. It accepts no more than 16 million
// extents with 512 MiB of inline bytes, and allocates in proportion to what it
// has read, not to what the header claims. The error wraps ErrFormat.
func Decode(encoded []byte) (*Map, error) {
	d, err := newDecoder(encoded)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if err := d.decode(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return d.m, nil
}

type decoder struct {
	body             *bufio.Reader
	extents, digests int
	inline           int64

	m     *Map
	ends  []int64 // by digest: where its last extent ended
	bytes int64   // of inline extents so far
}

// newDecoder checks the frame of an encoding: signature, checksum and bounds.
func newDecoder(b []byte) (*decoder, error) {
	if len(b) < headerSize+sha256.Size || string(b[:len(signature)]) != signature {
		return nil, fmt.Errorf("no %q at its start", signature[:len(signature)-1])
	}
	header := b[len(signature):headerSize]
	if v := binary.LittleEndian.Uint16(header); v != version {
		return nil, fmt.Errorf("version %d, this program reads version %d", v, version)
	}
	sealed := len(b) - sha256.Size
	if sum := sha256.Sum256(b[:sealed]); !bytes.Equal(sum[:], b[sealed:]) {
		return nil, errors.New("the checksum does not match")
	}
	extents := binary.LittleEndian.Uint32(header[2:])
	digests := binary.LittleEndian.Uint32(header[6:])
	inline := binary.LittleEndian.Uint64(header[10:])
	if extents > maxExtents || digests > min(maxDigests, extents) || inline > maxInline {
		return nil, fmt.Errorf("%d extents of %d blobs with %d inline bytes are more than the allowed %d, %d and %d",
			extents, digests, inline, maxExtents, maxDigests, maxInline)
	}
	return &decoder{
		body:    bufio.NewReader(flate.NewReader(bytes.NewReader(b[headerSize:sealed]))),
		extents: int(extents),
		digests: int(digests),
		inline:  int64(inline),
		m:       new(Map),
	}, nil
}

func (d *decoder) decode() error {
	for range d.digests {
		if err := d.digest(); err != nil {
			return fmt.Errorf("digest %d: %w", len(d.m.digests), err)
		}
	}
	d.ends = make([]int64, d.digests)
	for range d.extents {
		if err := d.extent(); err != nil {
			return fmt.Errorf("extent %d: %w", d.m.Len(), err)
		}
	}
	if d.bytes != d.inline {
		return fmt.Errorf("its extents have %d inline bytes, the header says %d", d.bytes, d.inline)
	}
	inline, err := io.ReadAll(io.LimitReader(d.body, d.inline))
	if err == nil && int64(len(inline)) < d.inline {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("inline bytes: %w", err)
	}
	d.m.inline = inline
	if _, err := d.body.ReadByte(); err != io.EOF {
		return errors.New("there is more after its end")
	}
	return nil
}

func (d *decoder) digest() error {
	n, err := binary.ReadUvarint(d.body)
	if err != nil {
		return err
	}
	if n == 0 || n > maxDigest {
		return fmt.Errorf("length %d: %w", n, ErrRange)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(d.body, b); err != nil {
		return err
	}
	d.m.digests = append(d.m.digests, Digest(b))
	return nil
}

func (d *decoder) extent() error {
	kind, err := d.body.ReadByte()
	if err != nil {
		return err
	}
	length, err := binary.ReadUvarint(d.body)
	if err != nil {
		return err
	}
	if length == 0 || length > uint64(math.MaxInt64-d.m.size) {
		return fmt.Errorf("length %d at %d: %w", length, d.m.size, ErrRange)
	}
	n := int64(length)
	r := run{blob: uint32(kind)}
	switch Kind(kind) {
	case Zero:
	case Inline:
		r.off = d.bytes
		if n > d.inline-d.bytes {
			return fmt.Errorf("inline length %d, %d are left: %w", n, d.inline-d.bytes, ErrRange)
		}
		d.bytes += n
	case Source:
		if r, err = d.source(n); err != nil {
			return err
		}
	default:
		return fmt.Errorf("unknown %s", Kind(kind))
	}
	d.m.starts = append(d.m.starts, d.m.size)
	d.m.runs = append(d.m.runs, r)
	d.m.size += n
	return nil
}

// source reads the rest of a source extent of n bytes.
func (d *decoder) source(n int64) (run, error) {
	id, err := binary.ReadUvarint(d.body)
	if err != nil {
		return run{}, err
	}
	if id >= uint64(d.digests) {
		return run{}, fmt.Errorf("blob %d of %d: %w", id, d.digests, ErrRange)
	}
	delta, err := binary.ReadVarint(d.body)
	if err != nil {
		return run{}, err
	}
	// An end is never negative, so only a positive delta can overflow.
	if delta > math.MaxInt64-d.ends[id] {
		return run{}, fmt.Errorf("offset %d+%d: %w", d.ends[id], delta, ErrRange)
	}
	off := d.ends[id] + delta
	if off < 0 || off > math.MaxInt64-n {
		return run{}, fmt.Errorf("offset %d, length %d: %w", off, n, ErrRange)
	}
	d.ends[id] = off + n
	return run{off: off, blob: firstBlob + uint32(id)}, nil
}
