package container

import "github.com/klauspost/compress/zstd"

// Unzstd returns what decodes Zstandard frames of up to most bytes of content and
// windows no larger. It fills dst as far as the content goes and returns how far
// that is; what goes beyond dst is left out.
func Unzstd(most int) (func(dst, stored []byte) (int, error), error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(uint64(most)), zstd.WithDecoderMaxWindow(uint64(most)))
	if err != nil {
		return nil, err
	}
	return func(dst, stored []byte) (int, error) {
		content, err := d.DecodeAll(stored, dst[:0])
		return copy(dst, content), err
	}, nil
}
