package erofs

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// maxPieces is how many chunks, or clusters, all files together can have. Inodes
// that lie over each other could have any number.
const maxPieces = 1 << 26

// readContent gives a file its content: extents of the filesystem.
func (r *reader) readContent(n *inode) error {
	if n.size > math.MaxInt64>>1 {
		return fmt.Errorf("%w: a file of %d bytes", container.ErrFormat, n.size)
	}
	size := int64(n.size)
	switch n.layout {
	case layoutPlain:
		return r.appendBlocks(n, n.union, size)
	case layoutInline:
		return r.readInline(n, size)
	case layoutChunks:
		return r.readChunks(n, size)
	case layoutCompressed, layoutCompressedCompact:
		return r.readCompressed(n, size)
	}
	return fmt.Errorf("%w: a layout %d of content, expected 0 to %d", container.ErrFormat, n.layout, layoutChunks)
}

// readInline reads a file whose end stands behind its inode, within a block.
func (r *reader) readInline(n *inode, size int64) error {
	if size == 0 {
		return nil
	}
	tail := (size-1)%r.blockSize() + 1
	if n.end%r.blockSize()+tail > r.blockSize() {
		return fmt.Errorf("%w: the last %d bytes of the content stand at %d and go on in another block", container.ErrFormat, tail, n.end)
	}
	if err := r.appendBlocks(n, n.union, size-tail); err != nil {
		return err
	}
	return r.appendSource(n, n.end, tail)
}

// readChunks reads a file that is made of pieces.
func (r *reader) readChunks(n *inode, size int64) error {
	if n.union&^uint32(chunkKnown) != 0 {
		return fmt.Errorf("%w: a file of chunks of the format %#x", container.ErrUnsupported, n.union)
	}
	unit := int64(chunkAddressSize)
	if n.union&chunkIndexes != 0 {
		unit = chunkIndexSize
	}
	chunkSize := r.blockSize() << (n.union & chunkBits)
	count := container.DivideUp(size, chunkSize)
	if err := r.countPieces("chunks", count); err != nil {
		return err
	}
	at := container.AlignUp(n.end, unit)
	table, err := r.file.Bytes("table of chunks", uint64(at), count*unit)
	if err != nil {
		return err
	}
	for ; size > 0; table = table[unit:] {
		length := min(size, chunkSize)
		if err := r.appendChunk(n, table[:unit], length); err != nil {
			return err
		}
		size -= length
	}
	return nil
}

// countPieces counts what a file is made of.
func (r *reader) countPieces(what string, count int64) error {
	if r.pieces += count; count > maxPieces || r.pieces > maxPieces {
		return fmt.Errorf("%w: the file has %d %s, and all files up to it are made of %d pieces, expected at most %d", container.ErrUnsupported, count, what, r.pieces, maxPieces)
	}
	return nil
}

// appendChunk appends a chunk, given its entry in the table.
func (r *reader) appendChunk(n *inode, entry []byte, length int64) error {
	le := binary.LittleEndian
	block := le.Uint32(entry[len(entry)-chunkAddressSize:])
	if block == noBlock {
		return r.append(n, extent.Extent{Length: length})
	}
	if len(entry) == chunkIndexSize {
		if device := le.Uint16(entry[2:]); device != 0 {
			return fmt.Errorf("%w: a chunk is on device %d", container.ErrUnsupported, device)
		}
	}
	return r.appendBlocks(n, block, length)
}

// appendBlocks appends the bytes from the start of a block on to a file.
func (r *reader) appendBlocks(n *inode, block uint32, length int64) error {
	return r.appendSource(n, r.place(block), length)
}

func (r *reader) appendSource(n *inode, at, length int64) error {
	if length == 0 {
		return nil
	}
	if err := r.file.Contains("content", uint64(at), length); err != nil {
		return err
	}
	return r.append(n, extent.Extent{Kind: extent.Source, Length: length, Digest: r.source, Offset: at})
}

// append appends an extent to a file, joined to the last one if it goes on there.
func (r *reader) append(n *inode, e extent.Extent) error {
	if len(n.Content) == 0 {
		n.Order = e.Offset
		if e.Digest == container.Unpacked(r.source) {
			n.Order = r.units.Place(e.Offset)
		}
	}
	return r.memory.Append(n.Inode, e)
}

// bytes returns a part of a file's content. What is compressed is decoded anew at
// times, and counts as memory each time: it could be any number of times.
func (r *reader) bytes(n *image.Inode, off, length int64) ([]byte, error) {
	p := make([]byte, length)
	var start int64
	for _, e := range n.Content {
		from, to := max(start, off), min(start+e.Length, off+length)
		if from < to && e.Kind == extent.Source {
			if err := r.readExtent(p[from-off:to-off], e, from-start); err != nil {
				return nil, err
			}
		}
		start += e.Length
	}
	return p, nil
}

// readExtent reads what stands at a place of an extent.
func (r *reader) readExtent(p []byte, e extent.Extent, off int64) error {
	from := r.file.Reader
	if e.Digest != r.source {
		if err := r.memory.Spend(e.Length); err != nil {
			return err
		}
		from = r.units
	}
	if err := container.ReadFull(from, p, e.Offset+off); err != nil {
		return fmt.Errorf("read %d bytes at %d: %w", len(p), e.Offset+off, err)
	}
	return nil
}
