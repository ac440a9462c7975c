package stream

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/flate"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

const (
	// gzipGrain is how much is compressed by itself, in bytes. Deflate goes back
	// 32 KiB, so that little is lost.
	gzipGrain = 1 << 20
	// maxStored is the longest stored block in bytes (RFC 1951, section 3.2.4).
	maxStored = 1<<16 - 1
	// gzipLevel is what gzip compresses with where nobody asks for another.
	gzipLevel = 6
	// zeroLevel makes zeros shortest: half of what gzipLevel makes of them.
	zeroLevel = flate.BestCompression
)

// gzipHeader is a member without name or time (RFC 1952, section 2.3), its
// system unknown.
const gzipHeader = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

// storedEnd is an empty stored block, the last of a stream.
const storedEnd = "\x01\x00\x00\xff\xff"

// gzipStream is a gzip member while it is planned.
type gzipStream struct {
	b    extent.Builder
	crc  checksum
	zero zeros
}

// zeros is a grain of zeros, compressed.
type zeros struct {
	blob extent.Digest
	size int64
}

// StoreGzip returns the gzip stream of a disk in stored blocks. The disk is read
// once, for the checksum; spool gets a piece of compressed zeros.
func StoreGzip(ctx context.Context, disk *extent.Map, open extent.Opener, spool container.Spool) (*extent.Map, error) {
	s, err := newGzip(ctx, spool)
	if err != nil {
		return nil, err
	}
	for off, e := range disk.All() {
		if e.Kind == extent.Zero {
			err = s.zeros(e.Length)
		} else {
			err = s.stored(ctx, disk, open, off, e.Length)
		}
		if err != nil {
			return nil, fmt.Errorf("write gzip of a disk of %d bytes: %w", disk.Size(), err)
		}
	}
	return s.end(disk.Size())
}

// CompressGzip returns the gzip stream of a disk, compressed on all cores.
func CompressGzip(ctx context.Context, disk *extent.Map, open extent.Opener, spool container.Spool) (*extent.Map, error) {
	s, err := newGzip(ctx, spool)
	if err != nil {
		return nil, err
	}
	packed, err := container.Pack(ctx, container.Packing{
		Disk: disk, Open: open, Grain: gzipGrain, KeepLarge: true, Exact: true,
		Compressor: func() (container.Compress, error) { return deflater(gzipLevel) },
		Sum:        crc32.ChecksumIEEE,
	}, spool)
	if err != nil {
		return nil, fmt.Errorf("write gzip: %w", err)
	}
	err = eachGrain(packed, disk.Size(), gzipGrain, s.zeros, func(g container.PackedGrain) {
		s.b.Source(packed.Blob, g.Offset, g.Length)
		s.crc.add(g.Sum, min(gzipGrain, disk.Size()-g.Number*gzipGrain))
	})
	if err != nil {
		return nil, fmt.Errorf("write gzip: %w", err)
	}
	return s.end(disk.Size())
}

func newGzip(ctx context.Context, spool container.Spool) (*gzipStream, error) {
	s := &gzipStream{}
	grain, err := deflateZeros(gzipGrain)
	if err != nil {
		return nil, err
	}
	if s.zero, err = keepZeros(ctx, spool, grain); err != nil {
		return nil, err
	}
	s.b.Inline([]byte(gzipHeader))
	return s, nil
}

// stored appends a piece of the disk in stored blocks.
func (s *gzipStream) stored(ctx context.Context, disk *extent.Map, open extent.Opener, off, n int64) error {
	sum, err := checksumOf(ctx, disk, open, off, n)
	if err != nil {
		return err
	}
	s.crc.add(sum, n)
	for end := off + n; off < end; {
		length := min(end-off, maxStored)
		var header [5]byte
		binary.LittleEndian.PutUint16(header[1:], uint16(length))
		binary.LittleEndian.PutUint16(header[3:], ^uint16(length))
		s.b.Inline(header[:])
		s.b.Slice(disk, off, length)
		off += length
	}
	return nil
}

// zeros appends n zeros.
func (s *gzipStream) zeros(n int64) error {
	s.crc.addZeros(n)
	for ; n >= gzipGrain; n -= gzipGrain {
		s.b.Source(s.zero.blob, 0, s.zero.size)
	}
	if n == 0 {
		return nil
	}
	rest, err := deflateZeros(n)
	s.b.Inline(rest)
	return err
}

// end ends the member: checksum and size, the latter modulo 2^32.
func (s *gzipStream) end(size int64) (*extent.Map, error) {
	s.b.Inline([]byte(storedEnd))
	trailer := binary.LittleEndian.AppendUint32(nil, s.crc.sum)
	s.b.Inline(binary.LittleEndian.AppendUint32(trailer, uint32(size)))
	return s.b.Build()
}

// deflater returns a compressor whose output can stand anywhere in a stream: it
// ends at a byte, and the stream goes on.
func deflater(level int) (container.Compress, error) {
	w, err := flate.NewWriter(nil, level)
	if err != nil {
		return nil, err
	}
	return func(dst, src []byte) ([]byte, error) {
		out := bytes.NewBuffer(dst)
		w.Reset(out)
		_, err := w.Write(src)
		err = errors.Join(err, w.Flush())
		return out.Bytes(), err
	}, nil
}

func deflateZeros(n int64) ([]byte, error) {
	compress, err := deflater(zeroLevel)
	if err != nil {
		return nil, err
	}
	return compress(nil, make([]byte, n))
}
