package qcow2

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// Compression is how clusters are compressed; the numbers are those of the field
// compression_type.
type Compression byte

// The compressions that there are ("Compressed Clusters Descriptor").
const (
	Zlib Compression = 0 // raw deflate
	Zstd Compression = 1 // from version 3, QEMU 5.1
)

// deflateLevel makes files as long as QEMU's own, in a third of the time. QEMU
// compresses with a window of 4 KiB, but no reader is bound to it: the
// specification says deflate, and a cluster is inflated in one piece, so that all
// of it is there to be copied from.
const deflateLevel = 5

// WriteCompressed returns the qcow2 file of a disk as Write does, with its
// clusters really compressed and kept in a spool. A cluster that does not get
// shorter stands in the file as it is; one of zeros is left out. open opens what
// the disk's map names.
//
// The same disk, options and compression give the same file.
func WriteCompressed(ctx context.Context, disk *extent.Map, open extent.Opener, spool container.Spool, c Compression, opts Options) (*extent.Map, error) {
	l, err := newLayout(disk, opts)
	if err != nil {
		return nil, fmt.Errorf("write qcow2 of a disk of %d bytes: %w", disk.Size(), err)
	}
	if l.parent != nil {
		return nil, errors.New("write qcow2: a file over a parent is not compressed")
	}
	if c == Zstd && l.version == version2 {
		return nil, errors.New("write qcow2: version 2 knows zlib alone; choose version 3 for zstd")
	}
	l.compression = c
	l.packed, err = container.Pack(ctx, container.Packing{
		Disk: disk, Open: open, Grain: l.clusterSize, Compressor: c.compressor,
	}, spool)
	if err != nil {
		return nil, fmt.Errorf("write qcow2: %w", err)
	}
	if err := l.placePacked(); err != nil {
		return nil, fmt.Errorf("write qcow2 of a disk of %d bytes: %w", disk.Size(), err)
	}
	return l.write(disk)
}

// placePacked lays out the clusters that were compressed, and those that were
// not.
func (l *layout) placePacked() error {
	var all []container.Run
	for _, g := range l.packed.Grains {
		all = container.AppendGrain(all, g.Number)
		if g.Length == 0 {
			l.plain = container.AppendGrain(l.plain, g.Number)
		}
	}
	l.packedClusters = container.DivideUp(l.packed.Size, l.clusterSize)
	return l.place(all)
}

// packedEntries yields what entries does for a disk that is compressed. plain
// gives the entry of the next cluster that is not.
func (l *layout) packedEntries(plain func() uint64, yield func(int64, uint64) bool) {
	for _, g := range l.packed.Grains {
		entry := plain
		if g.Length > 0 {
			entry = func() uint64 { return l.packedEntry(g) }
		}
		if !yield(g.Number, entry()) {
			return
		}
	}
}

// packedEntry returns the descriptor of a compressed cluster: where it starts to
// the byte, and how many sectors it reaches into beyond its first.
func (l *layout) packedEntry(g container.PackedGrain) uint64 {
	start, end := l.packedSpan(g)
	sectors := (end-1)/sectorSize - start/sectorSize
	return flagCompressed | uint64(sectors)<<offsetBits(l.clusterBits) | uint64(start)
}

// packedSpan returns where in the file a compressed cluster stands.
func (l *layout) packedSpan(g container.PackedGrain) (start, end int64) {
	start = l.packedAt()<<l.clusterBits + g.Offset
	return start, start + g.Length
}

// packedRefcounts returns how many compressed clusters each cluster of the file
// holds a part of, of those that hold any. Their sectors count as a whole.
func (l *layout) packedRefcounts() []uint16 {
	counts := make([]uint16, l.packedClusters)
	if l.packed == nil {
		return counts
	}
	for _, g := range l.packed.Grains {
		if g.Length == 0 {
			continue
		}
		start, end := l.packedSpan(g)
		for cluster := start >> l.clusterBits; cluster <= (end-1)>>l.clusterBits; cluster++ {
			counts[cluster-l.packedAt()]++
		}
	}
	return counts
}

// offsetBits returns how many bits of the descriptor of a compressed cluster are
// its offset.
func offsetBits(clusterBits int) int { return 62 - (clusterBits - 8) }

// compressor returns a compressor for one goroutine.
func (c Compression) compressor() (container.Compress, error) {
	if c == Zstd {
		return zstdCompressor()
	}
	return deflateCompressor()
}

func deflateCompressor() (container.Compress, error) {
	w, err := flate.NewWriter(nil, deflateLevel)
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

func zstdCompressor() (container.Compress, error) {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return nil, err
	}
	return func(dst, src []byte) ([]byte, error) { return e.EncodeAll(src, dst), nil }, nil
}

// decompress returns what decodes compressed clusters.
func (c Compression) decompress() (container.Decode, error) {
	switch c {
	case Zlib:
		return func(dst, stored []byte) error {
			return container.Decompress(dst, flate.NewReader(bytes.NewReader(stored)))
		}, nil
	case Zstd:
		return decompressZstd, nil
	}
	return nil, fmt.Errorf("%w: compression type %d, want %d or %d", container.ErrUnsupported, c, Zlib, Zstd)
}

// decompressZstd decodes a cluster. What follows its frame in the last sector is
// not part of it, so the frames are read one after the other.
func decompressZstd(dst, stored []byte) error {
	d, err := zstd.NewReader(bytes.NewReader(stored), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return err
	}
	defer d.Close()
	return container.Decompress(dst, d)
}
