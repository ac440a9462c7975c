package vmdk

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/adler32"
	"io"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// A grain in stored blocks: zlib's header (RFC 1950, section 2.2: deflate with a
// window of 32 KiB, the fastest level), blocks of DEFLATE that are not compressed
// (RFC 1951, section 3.2.4), and the Adler-32 of the content.
const (
	storedBlock       = grainSize / 2 // bytes; a block has at most 65535
	storedBlocks      = grainSize / storedBlock
	storedBlockHeader = 5 // bytes: final or not, length, its complement
	adlerSize         = 4 // bytes
	storedGrain       = 2 + storedBlocks*(storedBlockHeader+storedBlock) + adlerSize
)

// zlibHeader is the header of stored grains.
func zlibHeader() []byte { return []byte{0x78, 0x01} }

func writeStored(ctx context.Context, disk *extent.Map, open extent.Opener, opts Options) (*extent.Map, error) {
	if _, err := sectors(disk); err != nil {
		return nil, err
	}
	var sums memory
	packed, err := container.Pack(ctx, container.Packing{
		Disk: disk, Open: open, Grain: grainSize, Compressor: newChecksummer, KeepLarge: true,
	}, &sums)
	if err != nil {
		return nil, err
	}
	return writeStream(disk, opts, packed.Grains, func(b *extent.Builder, g container.PackedGrain) {
		appendStored(b, disk, g.Number, sums.Bytes()[g.Offset:][:g.Length])
	})
}

// newChecksummer returns what "compresses" a grain to its checksum.
func newChecksummer() (container.Compress, error) {
	return func(dst, src []byte) ([]byte, error) {
		return binary.BigEndian.AppendUint32(dst, adler32.Checksum(src)), nil
	}, nil
}

// appendStored appends a grain of a disk with its marker.
func appendStored(b *extent.Builder, disk *extent.Map, number int64, sum []byte) {
	b.Inline(append(grainMarker(number, storedGrain), zlibHeader()...))
	for i := range int64(storedBlocks) {
		b.Inline(storedHeader(i == storedBlocks-1))
		container.AppendPadded(b, disk, number*grainSize+i*storedBlock, storedBlock)
	}
	b.Inline(sum)
}

// storedHeader returns the header of a stored block.
func storedHeader(final bool) []byte {
	kind := byte(0)
	if final {
		kind = 1
	}
	p := binary.LittleEndian.AppendUint16([]byte{kind}, storedBlock)
	return binary.LittleEndian.AppendUint16(p, ^uint16(storedBlock))
}

// grainMarker returns the marker of a grain whose compressed form has so many
// bytes.
func grainMarker(number int64, size int) []byte {
	p := binary.LittleEndian.AppendUint64(nil, uint64(number*grainSectors))
	return binary.LittleEndian.AppendUint32(p, uint32(size))
}

// memory is a spool in memory, for what nobody opens.
type memory struct{ bytes.Buffer }

// Keep is what [container.Spool] asks for.
func (m *memory) Keep(_ context.Context, write func(w io.Writer) error) (extent.Digest, int64, error) {
	if err := write(m); err != nil {
		return "", 0, err
	}
	return "", int64(m.Len()), nil
}
