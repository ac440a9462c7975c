package ext4

import (
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// content is what fills the blocks of a file. emit appends the n bytes at off;
// what lies past the end of the content is zeros. A content is read from front
// to back: off never goes down.
type content interface {
	emit(b *extent.Builder, off, n int64)
}

// blocks is content made by the planner.
type blocks []byte

func (c blocks) emit(b *extent.Builder, off, n int64) {
	end := b.Size() + n
	if size := int64(len(c)); off < size {
		inline(b, c[off:min(off+n, size)])
	}
	b.ZeroTo(end)
}

// inlineSize returns how much of c is not in long runs of zeros.
func (c blocks) inlineSize() (n int) {
	for len(c) > 0 {
		start, end := zeroRun(c)
		n += start
		c = c[end:]
	}
	return n
}

// minZeroRun is how many zeros in a row are worth an extent of their own.
const minZeroRun = 1024

// inline appends p, long runs of zeros as zero extents: most directory blocks
// and bitmaps are nearly empty.
func inline(b *extent.Builder, p []byte) {
	for len(p) > 0 {
		start, end := zeroRun(p)
		b.Inline(p[:start])
		b.Zero(int64(end - start))
		p = p[end:]
	}
}

// zeroRun returns where the first run of at least minZeroRun zeros is in p, or
// the end of p twice.
func zeroRun(p []byte) (start, end int) {
	for end < len(p) {
		start = end
		for end < len(p) && p[end] == 0 {
			end++
		}
		if end-start >= minZeroRun {
			return start, end
		}
		for end < len(p) && p[end] != 0 {
			end++
		}
	}
	return end, end
}

// fileContent is a regular file's content.
type fileContent struct {
	extents []extent.Extent // what is left from start on
	start   int64
}

func (c *fileContent) emit(b *extent.Builder, off, n int64) {
	end := b.Size() + n
	for len(c.extents) > 0 && b.Size() < end {
		e := c.extents[0]
		skip := off - c.start
		if skip >= e.Length {
			c.extents = c.extents[1:]
			c.start += e.Length
			continue
		}
		k := min(e.Length-skip, end-b.Size())
		b.Extent(e.Slice(skip, k))
		off += k
	}
	b.ZeroTo(end)
}

// run is a stretch of a file's blocks that are not a hole.
type run struct {
	logical, count uint32
}

// oneRun returns the runs of a file of size bytes without holes.
func oneRun(size int) []run {
	return []run{{0, uint32(container.DivideUp(uint64(size), blockSize))}}
}

// contentRuns returns the size of a regular file in bytes and the runs of its
// blocks. A block that only zero extents touch is a hole.
func contentRuns(extents []extent.Extent) (size int64, runs []run, err error) {
	for i, e := range extents {
		if e.Length <= 0 || e.Length > maxFileBlocks*blockSize-size {
			return 0, nil, fmt.Errorf("extent %d of its content has %d bytes after %d, a file can have 1 to %d: %w",
				i, e.Length, size, int64(maxFileBlocks*blockSize), ErrTree)
		}
		first := uint32(size / blockSize)
		size += e.Length
		if e.Kind == extent.Zero {
			continue
		}
		end := uint32(container.DivideUp(uint64(size), blockSize))
		if last := len(runs) - 1; last >= 0 && first <= runs[last].logical+runs[last].count {
			runs[last].count = end - runs[last].logical
			continue
		}
		runs = append(runs, run{first, end - first})
	}
	return size, runs, nil
}

// setContent takes over the content of a regular file.
func (n *node) setContent(src *image.Inode) (err error) {
	if n.size, n.runs, err = contentRuns(src.Content); err != nil {
		return err
	}
	if len(n.runs) > 0 {
		n.content = &fileContent{extents: src.Content}
	}
	return nil
}
