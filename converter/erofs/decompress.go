package erofs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/ulikunitz/xz/lzma"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/lz4"
)

// decoder returns what decodes extents that an algorithm compressed.
func (r *reader) decoder(algorithm int) (container.Decode, error) {
	if algorithm >= len(r.decoders) {
		return nil, fmt.Errorf("%w: it is compressed with the unknown algorithm %d", container.ErrUnsupported, algorithm)
	}
	if r.decoders[algorithm] == nil {
		decode, err := newDecoder(algorithm)
		if err != nil {
			return nil, err
		}
		if r.features&incompatPadding != 0 {
			decode = afterPadding(decode)
		}
		r.decoders[algorithm] = decode
	}
	return r.decoders[algorithm], nil
}

func newDecoder(algorithm int) (container.Decode, error) {
	switch algorithm {
	case algorithmLZMA:
		return decodeLZMA, nil
	case algorithmDeflate:
		return inflate, nil
	case algorithmZstd:
		decode, err := container.Unzstd(maxHeld)
		if err != nil {
			return nil, err
		}
		return container.Whole(decode), nil
	}
	return container.Whole(lz4.Decode), nil
}

// afterPadding returns what decodes extents with zeros before them, so that they
// end where their last block does. None begins with a zero.
func afterPadding(decode container.Decode) container.Decode {
	return func(dst, stored []byte) error { return decode(dst, bytes.TrimLeft(stored, "\x00")) }
}

func inflate(dst, stored []byte) error {
	return container.Decompress(dst, flate.NewReader(bytes.NewReader(stored)))
}

// decodeLZMA decodes what XZ Utils call MicroLZMA: an LZMA stream whose first
// byte, which is 0, is replaced by the complement of its properties. Neither its
// dictionary nor its length are in it.
func decodeLZMA(dst, stored []byte) error {
	if len(stored) == 0 {
		return io.ErrUnexpectedEOF
	}
	const (
		minDictionary = 4 << 10
		longestMatch  = 273
		unknown       = 1<<64 - 1
	)
	// The decoder does not stop after a number of bytes unless the stream ends
	// there, and more may follow. But it stops when a match may not fit in its
	// dictionary. Short ones, whose dictionary is too large for that, must end.
	dictionary, length := uint32(len(dst)+longestMatch-1), uint64(unknown)
	if dictionary < minDictionary {
		dictionary, length = minDictionary, uint64(len(dst))
	}
	header := binary.LittleEndian.AppendUint32([]byte{^stored[0]}, dictionary)
	header = binary.LittleEndian.AppendUint64(header, length)
	r, err := lzma.NewReader(bytes.NewReader(bytes.Join([][]byte{header, {0}, stored[1:]}, nil)))
	if err != nil {
		return err
	}
	return container.Decompress(dst, r)
}
