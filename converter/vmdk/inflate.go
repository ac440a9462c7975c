package vmdk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zlib"

	"github.com/cloudlets/cloudlets/converter/container"
)

// inflater decodes grains. Decoders are used again: each has tables of 40 KB.
type inflater struct {
	grain    int64 // bytes
	decoders sync.Pool
}

func newInflater(grain int64) *inflater { return &inflater{grain: grain} }

// decode is a [container.Decode]. The checksum at the end is verified, which
// takes decoding all of the grain: a disk may end within it. A grain that goes on
// beyond its size is refused.
func (i *inflater) decode(dst, stored []byte) error {
	z, err := i.open(stored)
	if err != nil {
		return err
	}
	defer i.decoders.Put(z)
	if err := container.Decompress(dst, z); err != nil {
		return err
	}
	rest, err := io.CopyN(io.Discard, z, i.grain-int64(len(dst))+1)
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("it has %d bytes or more, a grain %d", int64(len(dst))+rest, i.grain)
}

func (i *inflater) open(stored []byte) (io.Reader, error) {
	if z, ok := i.decoders.Get().(zlib.Resetter); ok {
		if err := z.Reset(bytes.NewReader(stored), nil); err != nil {
			return nil, err
		}
		return z.(io.Reader), nil
	}
	return zlib.NewReader(bytes.NewReader(stored))
}
