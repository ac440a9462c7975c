package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ulikunitz/xz"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// xzGrain is how much is compressed into a stream of its own, in bytes: the
// window of xz -6.
const xzGrain = 8 << 20

// CompressXz returns the xz file of a disk, compressed on all cores: a stream
// for every 8 MiB, one after the other ("The .xz File Format", section 2). It is
// slow, and the smallest.
func CompressXz(ctx context.Context, disk *extent.Map, open extent.Opener, spool container.Spool) (*extent.Map, error) {
	packed, err := container.Pack(ctx, container.Packing{
		Disk: disk, Open: open, Grain: xzGrain, Compressor: xzCompressor, KeepLarge: true, Exact: true,
	}, spool)
	if err != nil {
		return nil, fmt.Errorf("write xz: %w", err)
	}
	// Most disks have a whole grain of zeros, but its stream is not cheap.
	whole := sync.OnceValues(func() (zeros, error) { return xzGrainOfZeros(ctx, spool) })
	var b extent.Builder
	err = eachGrain(packed, disk.Size(), xzGrain, func(n int64) error { return appendXzZeros(&b, n, whole) }, func(g container.PackedGrain) { b.Source(packed.Blob, g.Offset, g.Length) })
	if err != nil {
		return nil, fmt.Errorf("write xz: %w", err)
	}
	return b.Build()
}

// appendXzZeros appends streams of n zeros; none are a stream too. whole returns
// that of a grain.
func appendXzZeros(b *extent.Builder, n int64, whole func() (zeros, error)) error {
	for n >= xzGrain {
		grain, err := whole()
		if err != nil {
			return err
		}
		b.Source(grain.blob, 0, grain.size)
		if n -= xzGrain; n == 0 {
			return nil
		}
	}
	rest, err := compressXz(nil, make([]byte, n))
	b.Inline(rest)
	return err
}

func xzGrainOfZeros(ctx context.Context, spool container.Spool) (zeros, error) {
	grain, err := compressXz(nil, make([]byte, xzGrain))
	if err != nil {
		return zeros{}, err
	}
	return keepZeros(ctx, spool, grain)
}

func xzCompressor() (container.Compress, error) { return compressXz, nil }

func compressXz(dst, src []byte) ([]byte, error) {
	out := bytes.NewBuffer(dst)
	w, err := xz.WriterConfig{DictCap: xzGrain}.NewWriter(out)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(src)
	err = errors.Join(err, w.Close())
	return out.Bytes(), err
}
