package stream

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

const (
	zstdMagic = 0xfd2fb528
	// zstdBlock is the longest block in bytes (RFC 8878, section 3.1.1.2.4).
	zstdBlock = 128 << 10
	// zstdGrain is how much is compressed into a frame of its own, in bytes.
	zstdGrain = 4 << 20

	blockRaw = 0 << 1
	blockRLE = 1 << 1
	blockEnd = 1
)

// StoreZstd returns the zstd frame of a disk in raw blocks, zeros in blocks that
// repeat a byte. Nothing is read.
func StoreZstd(disk *extent.Map) (*extent.Map, error) {
	var b extent.Builder
	b.Inline(zstdHeader(disk.Size()))
	for off, e := range disk.All() {
		kind := uint32(blockRaw)
		if e.Kind == extent.Zero {
			kind = blockRLE
		}
		for end := off + e.Length; off < end; {
			n := min(end-off, zstdBlock)
			b.Inline(zstdBlockHeader(kind, n))
			if kind == blockRLE {
				b.Inline([]byte{0})
			} else {
				b.Slice(disk, off, n)
			}
			off += n
		}
	}
	b.Inline(zstdBlockHeader(blockRaw|blockEnd, 0))
	m, err := b.Build()
	if err != nil {
		return nil, fmt.Errorf("write zstd of a disk of %d bytes: %w", disk.Size(), err)
	}
	return m, nil
}

// zstdHeader returns the header of a frame (RFC 8878, section 3.1.1.1): a window
// of 128 KiB, the size of the content in 8 bytes, no checksum.
func zstdHeader(size int64) []byte {
	const sizeOf8, window128K = 3 << 6, 7 << 3
	h := binary.LittleEndian.AppendUint32(nil, zstdMagic)
	h = append(h, sizeOf8, window128K)
	return binary.LittleEndian.AppendUint64(h, uint64(size))
}

func zstdBlockHeader(kind uint32, n int64) []byte {
	h := binary.LittleEndian.AppendUint32(nil, kind|uint32(n)<<3)
	return h[:3]
}

// CompressZstd returns the zstd stream of a disk, compressed on all cores: a
// frame for every 4 MiB, and for every run of zeros.
func CompressZstd(ctx context.Context, disk *extent.Map, open extent.Opener, spool container.Spool) (*extent.Map, error) {
	packed, err := container.Pack(ctx, container.Packing{
		Disk: disk, Open: open, Grain: zstdGrain, Compressor: zstdCompressor, KeepLarge: true, Exact: true,
	}, spool)
	if err != nil {
		return nil, fmt.Errorf("write zstd: %w", err)
	}
	var b extent.Builder
	err = eachGrain(packed, disk.Size(), zstdGrain, func(n int64) error {
		var hole extent.Builder
		hole.Zero(n)
		m, err := hole.Build()
		if err != nil {
			return err
		}
		frame, err := StoreZstd(m)
		b.Map(frame)
		return err
	}, func(g container.PackedGrain) { b.Source(packed.Blob, g.Offset, g.Length) })
	if err != nil {
		return nil, fmt.Errorf("write zstd: %w", err)
	}
	return b.Build()
}

// eachGrain calls zeros with the length of each run of zeros, and each with what
// stands between them. A disk of nothing is a run of no zeros.
func eachGrain(packed *container.Packed, size, grain int64, zeros func(n int64) error, each func(container.PackedGrain)) error {
	done := int64(0) // bytes of the disk
	for _, g := range packed.Grains {
		if start := g.Number * grain; start > done {
			if err := zeros(start - done); err != nil {
				return err
			}
		}
		each(g)
		done = min((g.Number+1)*grain, size)
	}
	if done == size && size > 0 {
		return nil
	}
	return zeros(size - done)
}

func zstdCompressor() (container.Compress, error) {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return nil, err
	}
	return func(dst, src []byte) ([]byte, error) { return e.EncodeAll(src, dst), nil }, nil
}
