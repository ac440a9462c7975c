package stream

import (
	"context"
	"hash/crc32"
	"io"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// checksum is the CRC-32 of a stream that is put together from pieces whose
// checksums are known. The zero checksum is that of nothing.
//
// A CRC is linear: that of two pieces is that of the first, carried over as many
// zeros as the second has bytes, and that of the second.
type checksum struct{ sum uint32 }

// add appends a piece of n bytes with the checksum sum.
func (c *checksum) add(sum uint32, n int64) { c.sum = carry(c.sum, n) ^ sum }

// addZeros appends n zeros.
func (c *checksum) addZeros(n int64) {
	// Inverted before and after, unlike carry.
	c.sum = ^carry(^c.sum, n)
}

// matrix is a linear function of the bits of a CRC: what each bit becomes.
type matrix [32]uint32

func (m *matrix) times(v uint32) uint32 {
	out := uint32(0)
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 != 0 {
			out ^= m[i]
		}
	}
	return out
}

func (m *matrix) squared() *matrix {
	var out matrix
	for i := range m {
		out[i] = m.times(m[i])
	}
	return &out
}

// carry carries a CRC register over n zero bytes, by squaring: a register
// shifted by one bit, two, four …
func carry(sum uint32, n int64) uint32 {
	bit := &matrix{crc32.IEEE}
	for i := 1; i < 32; i++ {
		bit[i] = 1 << (i - 1)
	}
	for m := bit.squared().squared().squared(); n > 0; m, n = m.squared(), n>>1 {
		if n&1 != 0 {
			sum = m.times(sum)
		}
	}
	return sum
}

// checksumOf reads a piece of a disk and returns its CRC-32.
func checksumOf(ctx context.Context, disk *extent.Map, open extent.Opener, off, n int64) (uint32, error) {
	piece, err := extent.Slice(disk, off, n)
	if err != nil {
		return 0, err
	}
	r := extent.NewReader(ctx, piece, open)
	defer func() { _ = r.Close() }()
	sum := crc32.NewIEEE()
	_, err = r.WriteTo(sum)
	return sum.Sum32(), err
}

// keepZeros keeps compressed zeros in a spool.
func keepZeros(ctx context.Context, spool container.Spool, compressed []byte) (z zeros, err error) {
	z.blob, z.size, err = spool.Keep(ctx, func(w io.Writer) error {
		_, err := w.Write(compressed)
		return err
	})
	return z, err
}
