package squashfs

import (
	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// content is where a regular file's content stands.
type content struct {
	start int64    // of the blocks
	words []uint32 // of each block
	holes int64    // bytes that take no space

	fragment, offset uint32 // where the rest is; noFragment if there is none
}

// run is a stretch of a file's bytes that are stored. It starts at a multiple
// of the block size, and ends at one or at the file's end.
type run struct{ start, end int64 }

// storedRuns returns what of a file's content is stored. Blocks that only zero
// extents touch are not.
func storedRuns(content []extent.Extent, size, blockSize int64) (runs []run) {
	var at int64
	for _, e := range content {
		start := at
		at += e.Length
		if e.Kind == extent.Zero {
			continue
		}
		r := run{start / blockSize * blockSize, min(size, container.AlignUp(at, blockSize))}
		if last := len(runs) - 1; last >= 0 && r.start <= runs[last].end {
			runs[last].end = r.end
			continue
		}
		runs = append(runs, r)
	}
	return runs
}

func storedSize(runs []run) (n int64) {
	for _, r := range runs {
		n += r.end - r.start
	}
	return n
}

// appendStored appends the stored runs of a content to a map.
func appendStored(b *extent.Builder, content []extent.Extent, runs []run) {
	var at int64
	for _, e := range content {
		end := at + e.Length
		for len(runs) > 0 {
			r := runs[0]
			from, to := max(at, r.start), min(end, r.end)
			if from < to {
				b.Extent(e.Slice(from-at, to-from))
			}
			if r.end > end {
				break
			}
			runs = runs[1:]
		}
		at = end
	}
}

// storedWords returns the words that describe the blocks of a file of which
// runs are stored.
func storedWords(size, blockSize int64, runs []run) []uint32 {
	words := make([]uint32, 0, container.DivideUp(size, blockSize))
	for at := int64(0); at < size; at += blockSize {
		var word uint32
		if len(runs) > 0 && at >= runs[0].start {
			word = uint32(min(blockSize, size-at)) | blockStored
			if at+blockSize >= runs[0].end {
				runs = runs[1:]
			}
		}
		words = append(words, word)
	}
	return words
}
