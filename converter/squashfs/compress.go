package squashfs

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"github.com/cloudlets/cloudlets/converter/container"
)

// Compressor is what the blocks of a squashfs are compressed with.
type Compressor uint16

// Compressors that can be written.
const (
	Gzip Compressor = compressorGzip // every Linux has it
	Zstd Compressor = compressorZstd // Linux 4.14 and later
)

// newCompress returns what compresses blocks of up to blockSize bytes, for one
// goroutine.
func (c Compressor) newCompress(blockSize int) (container.Compress, error) {
	switch c {
	case Gzip:
		return deflate()
	case Zstd:
		// The kernel has memory for windows of a block and no larger. A squashfs is
		// compressed once and read often: mksquashfs takes its level 15, too.
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithWindowSize(blockSize),
			zstd.WithEncoderLevel(zstd.SpeedBestCompression))
		if err != nil {
			return nil, err
		}
		return func(dst, src []byte) ([]byte, error) { return w.EncodeAll(src, dst), nil }, nil
	}
	return nil, fmt.Errorf("%w: compressor %d, expected gzip or zstd", ErrOptions, c)
}

func deflate() (container.Compress, error) {
	w, err := zlib.NewWriterLevel(nil, zlib.BestCompression)
	if err != nil {
		return nil, err
	}
	return func(dst, src []byte) ([]byte, error) {
		out := bytes.NewBuffer(dst)
		w.Reset(out)
		_, err := w.Write(src)
		err = errors.Join(err, w.Close())
		return out.Bytes(), err
	}, nil
}
