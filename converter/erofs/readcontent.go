package erofs

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// maxChunks is how many chunks all files together can have. Inodes that lie over
// each other could have any number.
const maxChunks = 1 << 26

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
		return r.refuseCompressed(n)
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
	if r.chunks += count; count > maxChunks || r.chunks > maxChunks {
		return fmt.Errorf("%w: the file has %d chunks and all up to it %d, expected at most %d", container.ErrUnsupported, count, r.chunks, maxChunks)
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
	last := len(n.Content) - 1
	if last >= 0 && n.Content[last].Kind == e.Kind && (e.Kind == extent.Zero || n.Content[last].Offset+n.Content[last].Length == e.Offset) {
		n.Content[last].Length += e.Length
		return nil
	}
	if last < 0 {
		n.Order = e.Offset
	}
	n.Content = append(n.Content, e)
	return r.memory.Spend(container.ExtentMemory)
}

// bytes returns a part of a file's content.
func (r *reader) bytes(n *image.Inode, off, length int64) ([]byte, error) {
	p := make([]byte, length)
	var start int64
	for _, e := range n.Content {
		from, to := max(start, off), min(start+e.Length, off+length)
		if from < to && e.Kind == extent.Source {
			if err := container.ReadFull(r.file.Reader, p[from-off:to-off], e.Offset+from-start); err != nil {
				return nil, fmt.Errorf("read %d bytes at %d: %w", to-from, e.Offset+from-start, err)
			}
		}
		start += e.Length
	}
	return p, nil
}

// algorithms are those of compressed files, by number.
var algorithms = [...]string{"LZ4", "LZMA", "DEFLATE", "Zstandard"}

// refuseCompressed says how a file is compressed.
func (r *reader) refuseCompressed(n *inode) error {
	const advice = "make the filesystem anew without -z"
	at := container.AlignUp(n.end, compressionHeaderSize)
	header, err := r.file.Bytes("header of a compressed file", uint64(at), compressionHeaderSize)
	if err != nil {
		return err
	}
	number := int(header[compressionAlgorithms] & 0xF)
	if number >= len(algorithms) {
		return fmt.Errorf("%w: the file is compressed with the unknown algorithm %d; %s", container.ErrUnsupported, number, advice)
	}
	return fmt.Errorf("%w: the file is compressed with %s; %s", container.ErrUnsupported, algorithms[number], advice)
}
