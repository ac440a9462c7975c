package squashfs

import (
	"encoding/binary"

	"github.com/cloudlets/cloudlets/extent"
)

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
		r := run{start / blockSize * blockSize, min(size, ceilDiv(at, blockSize)*blockSize)}
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

// appendWords appends the words that describe the blocks of a file.
func appendWords(p []byte, size, blockSize int64, runs []run) []byte {
	for at := int64(0); at < size; at += blockSize {
		var word uint32
		if len(runs) > 0 && at >= runs[0].start {
			word = uint32(min(blockSize, size-at)) | blockStored
			if at+blockSize >= runs[0].end {
				runs = runs[1:]
			}
		}
		p = binary.LittleEndian.AppendUint32(p, word)
	}
	return p
}

func ceilDiv(n, by int64) int64 { return (n + by - 1) / by }
