package container

import "slices"

// Bitmap has a bit for each sector of a part of a disk. The highest bit of each
// byte is that of its first sector.
type Bitmap []byte

// At returns bit i.
func (b Bitmap) At(i int64) bool { return b[i/8]&(0x80>>(i%8)) != 0 }

// Same returns how many bits from i on are like it.
func (b Bitmap) Same(i int64) int64 {
	want, start := b.At(i), i
	whole := byte(0)
	if want {
		whole = 0xff
	}
	for i < int64(len(b))*8 && b.At(i) == want {
		if i%8 != 0 || b[i/8] != whole {
			i++
			continue
		}
		rest := b[i/8:]
		n := slices.IndexFunc(rest, func(c byte) bool { return c != whole })
		if n < 0 {
			n = len(rest)
		}
		i += int64(n) * 8
	}
	return i - start
}
