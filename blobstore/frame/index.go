package frame

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/opencontainers/go-digest"
)

// ErrFormat is wrapped by errors about bytes that are not a well-formed index.
var ErrFormat = errors.New("not a valid frame index")

const (
	// MaxContent is the most content one frame holds, in bytes, unless that is
	// nothing but zeros. A read of a few bytes decodes at most this much.
	MaxContent = 128 << 10
	// MaxFrames bounds an index: 2 TiB of content in full frames.
	MaxFrames = 16 << 20
	// maxStored bounds one stored frame: content that does not compress, with
	// zstd's header and block headers (RFC 8878, section 3.1.1).
	maxStored = MaxContent + 64

	skippableHeader = 8          // magic number and length, u32 each
	indexMagic      = 0x184D2A5C // of the skippable frame that holds the index
	seekTableMagic  = 0x184D2A5E // of the skippable frame that holds the seek table
	seekableMagic   = 0x8F92EAB1 // last four bytes of a seekable zstd file

	seekEntrySize  = 8 // compressed and decompressed size, u32 each
	seekFooterSize = 9 // number of frames u32, descriptor u8, magic u32

	indexSignature  = "cloudlets frames"
	indexVersion    = 1
	zerosVersion    = 2                           // has frames of more than MaxContent zeros
	indexHeaderSize = len(indexSignature) + 4 + 4 // signature, version, count
	indexEntrySize  = 4 + 4 + sha256.Size         // stored size, content size, SHA-256
)

// Frame is one frame of a blob. Offsets and sizes are in bytes.
type Frame struct {
	Offset        int64 // in the blob
	Size          int64 // as stored
	ContentOffset int64 // in the content
	ContentSize   int64
	Digest        [sha256.Size]byte // of the frame as stored
}

// Index lists the frames of a blob, in order. The zero Index is empty.
type Index struct {
	stored  []int64 // where each frame ends in the blob
	content []int64 // where each frame's content ends
	digests [][sha256.Size]byte
	zeros   bool // there are frames of more than MaxContent zeros
}

// Len returns the number of frames.
func (x *Index) Len() int { return len(x.digests) }

// At returns frame i. It panics unless 0 <= i < Len().
func (x *Index) At(i int) Frame {
	f := Frame{Size: x.stored[i], ContentSize: x.content[i], Digest: x.digests[i]}
	if i > 0 {
		f.Offset, f.ContentOffset = x.stored[i-1], x.content[i-1]
		f.Size -= f.Offset
		f.ContentSize -= f.ContentOffset
	}
	return f
}

// Find returns the frame that holds the content at off, or Len() if none does.
func (x *Index) Find(off int64) int {
	if off < 0 {
		return x.Len()
	}
	return sort.Search(len(x.content), func(i int) bool { return x.content[i] > off })
}

// Span returns the first and the last of the frames that hold exactly the n bytes
// of content at off; ok is false where frames hold more than that.
func (x *Index) Span(off, n int64) (first, last int, ok bool) {
	first, last = x.Find(off), x.Find(off+n-1)
	if n <= 0 || last >= x.Len() {
		return 0, 0, false
	}
	end := x.At(last)
	return first, last, x.At(first).ContentOffset == off && end.ContentOffset+end.ContentSize == off+n
}

// Overlap returns the frames that hold any of the n bytes of content at off: from
// first on, up to but without end.
func (x *Index) Overlap(off, n int64) (first, end int) {
	if n <= 0 {
		return 0, 0
	}
	return x.Find(off), min(x.Find(off+n-1)+1, x.Len())
}

// StoredSize returns the length of all frames as stored. The index follows
// there.
func (x *Index) StoredSize() int64 { return last(x.stored) }

// ContentSize returns the length of the content.
func (x *Index) ContentSize() int64 { return last(x.content) }

func last(ends []int64) int64 {
	if len(ends) == 0 {
		return 0
	}
	return ends[len(ends)-1]
}

// Memory returns about how many bytes the index occupies.
func (x *Index) Memory() int64 {
	return int64(x.Len()) * (8 + 8 + sha256.Size)
}

// append adds a frame of the given sizes.
func (x *Index) append(stored, content int64, d [sha256.Size]byte) {
	x.stored = append(x.stored, x.StoredSize()+stored)
	x.content = append(x.content, x.ContentSize()+content)
	x.digests = append(x.digests, d)
	x.zeros = x.zeros || content > MaxContent
}

// version returns the version of the index. Those of older programs are without
// long runs of zeros.
func (x *Index) version() uint32 {
	if x.zeros {
		return zerosVersion
	}
	return indexVersion
}

// Encode returns the index as it stands in a blob, without the header of its
// skippable frame: signature, version, number of frames, and for each its
// stored size, content size and SHA-256. Integers are little-endian, as in zstd.
func (x *Index) Encode() []byte {
	b := make([]byte, 0, indexHeaderSize+x.Len()*indexEntrySize)
	b = append(b, indexSignature...)
	b = binary.LittleEndian.AppendUint32(b, x.version())
	b = binary.LittleEndian.AppendUint32(b, uint32(x.Len()))
	for i := range x.Len() {
		f := x.At(i)
		b = binary.LittleEndian.AppendUint32(b, uint32(f.Size))
		b = binary.LittleEndian.AppendUint32(b, uint32(f.ContentSize))
		b = append(b, f.Digest[:]...)
	}
	return b
}

// Decode reads an index from its encoding. It accepts nothing that Encode could
// not have written.
func Decode(b []byte) (*Index, error) {
	if len(b) < indexHeaderSize || string(b[:len(indexSignature)]) != indexSignature {
		return nil, fmt.Errorf("%w: no %q at its start", ErrFormat, indexSignature)
	}
	version := binary.LittleEndian.Uint32(b[len(indexSignature):])
	count := binary.LittleEndian.Uint32(b[len(indexSignature)+4:])
	if version != indexVersion && version != zerosVersion {
		return nil, fmt.Errorf("%w: version %d, this program reads versions %d and %d", ErrFormat, version, indexVersion, zerosVersion)
	}
	b = b[indexHeaderSize:]
	if count > MaxFrames || int64(len(b)) != int64(count)*int64(indexEntrySize) {
		return nil, fmt.Errorf("%w: %d frames in %d bytes", ErrFormat, count, len(b))
	}
	x := &Index{
		stored:  make([]int64, 0, count),
		content: make([]int64, 0, count),
		digests: make([][sha256.Size]byte, 0, count),
	}
	runs := make(zeroRuns)
	for ; len(b) > 0; b = b[indexEntrySize:] {
		stored, content := int64(binary.LittleEndian.Uint32(b)), int64(binary.LittleEndian.Uint32(b[4:]))
		sum := [sha256.Size]byte(b[8:])
		sound := stored > 0 && stored <= maxStored && content > 0
		if content > MaxContent {
			sound = stored == zeroSize(content) && runs.has(content, sum)
		}
		if !sound {
			return nil, fmt.Errorf("%w: frame %d has %d bytes for %d bytes of content", ErrFormat, x.Len(), stored, content)
		}
		x.append(stored, content, sum)
	}
	if version != x.version() {
		return nil, fmt.Errorf("%w: version %d without a long run of zeros, or version %d with one", ErrFormat, zerosVersion, indexVersion)
	}
	return x, nil
}

// zeroRuns are the digests of frames of zeros by their content size. There are
// few of them: what is longer than MaxContent is a multiple of it.
type zeroRuns map[int64][sha256.Size]byte

// has reports whether a digest is that of the frame of n zeros, n > MaxContent,
// and there may be such a frame.
func (r zeroRuns) has(n int64, d [sha256.Size]byte) bool {
	if n > MaxZeros || n%MaxContent != 0 {
		return false
	}
	if _, ok := r[n]; !ok {
		r[n] = zeroDigest(n)
	}
	return r[n] == d
}

// Position is where a blob keeps its index.
type Position struct {
	Offset int64         `json:"offset"` // of the index in the blob, in bytes
	Size   int64         `json:"size"`   // of the encoded index, in bytes
	Digest digest.Digest `json:"digest"` // SHA-256 of the encoded index
}

// Trailer returns what follows the frames in a blob: the index and the seek
// table, each in its skippable frame. pos is where the index will stand.
func (x *Index) Trailer() (trailer []byte, pos Position) {
	encoded := x.Encode()
	pos = Position{
		Offset: x.StoredSize() + skippableHeader,
		Size:   int64(len(encoded)),
		Digest: digest.FromBytes(encoded),
	}
	b := make([]byte, 0, 2*skippableHeader+len(encoded)+(x.Len()+1)*seekEntrySize+seekFooterSize)
	b = appendSkippable(b, indexMagic, len(encoded))
	b = append(b, encoded...)

	// The seek table lists the index too, as a frame without content, so that
	// its sizes add up to its own position.
	b = appendSkippable(b, seekTableMagic, (x.Len()+1)*seekEntrySize+seekFooterSize)
	for i := range x.Len() {
		f := x.At(i)
		b = appendSeekEntry(b, f.Size, f.ContentSize)
	}
	b = appendSeekEntry(b, skippableHeader+pos.Size, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(x.Len()+1))
	b = append(b, 0) // descriptor: no checksums
	b = binary.LittleEndian.AppendUint32(b, seekableMagic)
	return b, pos
}

func appendSkippable(b []byte, magic uint32, size int) []byte {
	b = binary.LittleEndian.AppendUint32(b, magic)
	return binary.LittleEndian.AppendUint32(b, uint32(size))
}

func appendSeekEntry(b []byte, stored, content int64) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(stored))
	return binary.LittleEndian.AppendUint32(b, uint32(content))
}

// Locate finds the index of a blob of size bytes by what stands at its end. The
// error wraps ErrFormat where the blob does not hold frames of this package.
func Locate(blob io.ReaderAt, size int64) (Position, error) {
	var footer [seekFooterSize]byte
	if size < seekFooterSize {
		return Position{}, fmt.Errorf("%w: %d bytes are too few", ErrFormat, size)
	}
	if _, err := blob.ReadAt(footer[:], size-seekFooterSize); err != nil && err != io.EOF {
		return Position{}, fmt.Errorf("read seek table: %w", err)
	}
	count := int64(binary.LittleEndian.Uint32(footer[:]))
	if binary.LittleEndian.Uint32(footer[5:]) != seekableMagic || footer[4] != 0 || count == 0 || count > MaxFrames+1 {
		return Position{}, fmt.Errorf("%w: the blob does not end with a seek table", ErrFormat)
	}
	indexSize := int64(indexHeaderSize) + (count-1)*int64(indexEntrySize)
	tableSize := skippableHeader + count*seekEntrySize + seekFooterSize
	pos := Position{Offset: size - tableSize - indexSize, Size: indexSize}
	if pos.Offset < skippableHeader {
		return Position{}, fmt.Errorf("%w: %d frames in a blob of %d bytes", ErrFormat, count-1, size)
	}
	encoded, err := readEncoded(blob, pos)
	if err != nil {
		return Position{}, err
	}
	pos.Digest = digest.FromBytes(encoded)
	return pos, nil
}

// ReadIndex reads the index at a position of a blob and verifies its digest and
// that it describes all bytes before it.
func ReadIndex(blob io.ReaderAt, pos Position) (*Index, error) {
	if pos.Offset < skippableHeader || pos.Size < int64(indexHeaderSize) ||
		pos.Size > int64(indexHeaderSize)+MaxFrames*int64(indexEntrySize) {
		return nil, fmt.Errorf("%w: %d bytes at %d", ErrFormat, pos.Size, pos.Offset)
	}
	encoded, err := readEncoded(blob, pos)
	if err != nil {
		return nil, err
	}
	if got := digest.FromBytes(encoded); got != pos.Digest {
		return nil, fmt.Errorf("%w: its digest is %s, not %s", ErrFormat, got, pos.Digest)
	}
	x, err := Decode(encoded)
	if err != nil {
		return nil, err
	}
	if x.StoredSize()+skippableHeader != pos.Offset {
		return nil, fmt.Errorf("%w: it describes %d bytes of frames, it stands at %d", ErrFormat, x.StoredSize(), pos.Offset)
	}
	return x, nil
}

// readEncoded reads an encoded index with the header of its skippable frame,
// which it checks. The bytes are read as they come, so that a position that
// lies about a small blob allocates little.
func readEncoded(blob io.ReaderAt, pos Position) ([]byte, error) {
	var b bytes.Buffer
	section := io.NewSectionReader(blob, pos.Offset-skippableHeader, skippableHeader+pos.Size)
	if n, err := b.ReadFrom(section); err != nil {
		return nil, fmt.Errorf("read frame index: %w", err)
	} else if n != skippableHeader+pos.Size {
		return nil, fmt.Errorf("%w: the blob ends within it", ErrFormat)
	}
	if !bytes.Equal(b.Bytes()[:skippableHeader], appendSkippable(nil, indexMagic, int(pos.Size))) {
		return nil, fmt.Errorf("%w: no skippable frame at %d", ErrFormat, pos.Offset-skippableHeader)
	}
	return b.Bytes()[skippableHeader:], nil
}
