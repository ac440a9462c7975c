package erofs

import (
	"encoding/binary"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// compression is what the header of a compressed file says.
type compression struct {
	advice     uint16
	algorithms uint8
	tail       int64 // bytes of the last extent where adviceTail is set
	fragment   uint64
	at         int64 // of the index
}

func (c compression) has(advice uint16) bool { return c.advice&advice != 0 }

// algorithm returns how the extents of a kind of head are compressed.
func (c compression) algorithm(kind uint8) int {
	if kind == clusterSecond {
		return int(c.algorithms >> 4)
	}
	return int(c.algorithms & 0xF)
}

// large reports whether extents of a kind of head can be stored in several
// blocks.
func (c compression) large(kind uint8) bool {
	if kind == clusterFirst {
		return c.has(adviceLargeFirst)
	}
	return c.has(adviceLargeSecond)
}

// readCompressed reads a compressed file.
func (r *reader) readCompressed(n *inode, size int64) error {
	if size == 0 {
		return nil
	}
	at := container.AlignUp(n.end, compressionHeaderSize)
	header, err := r.file.Bytes("header of a compressed file", uint64(at), compressionHeaderSize)
	if err != nil {
		return err
	}
	if whole := binary.LittleEndian.Uint64(header); whole&compressionPacked != 0 && r.hasHeader(n) {
		return r.appendFragment(n, whole&^compressionPacked, size)
	}
	c := compression{at: at + compressionHeaderSize}
	if r.hasHeader(n) {
		if err := c.parse(header); err != nil {
			return err
		}
	}
	m := &mapper{reader: r, n: n, compression: c, size: size}
	return m.read()
}

// hasHeader reports whether the header of a compressed file says something. The
// first EROFS had nothing there.
func (r *reader) hasHeader(n *inode) bool {
	return n.layout == layoutCompressedCompact || r.features&incompatHeaders != 0
}

// parse takes what the header says.
func (c *compression) parse(header []byte) error {
	le := binary.LittleEndian
	c.advice = le.Uint16(header[compressionAdvice:])
	c.algorithms = header[compressionAlgorithms]
	c.tail = int64(le.Uint16(header[compressionTail:]))
	c.fragment = uint64(le.Uint32(header[compressionFragment:]))
	switch bits := header[compressionBits]; {
	case c.advice&^adviceKnown != 0:
		return fmt.Errorf("%w: a compressed file with the advice %#x, known are %#x", container.ErrUnsupported, c.advice, adviceKnown)
	case bits != 0:
		return fmt.Errorf("%w: clusters of a compressed file have the bits %#x, expected 0, the size of a block", container.ErrUnsupported, bits)
	case c.has(adviceTail) && c.has(adviceFragment):
		return fmt.Errorf("%w: the end of a compressed file is both behind its index and in the packed inode", container.ErrFormat)
	}
	return nil
}

// mapper makes extents of content from the index of a compressed file.
type mapper struct {
	*reader
	compression
	n    *inode
	size int64 // of the content

	head  lcluster // where the extent under way begins
	start int64    // of that extent in the content
	inner int      // clusters that go on with it

	next     int64 // cluster of a compact index
	indexEnd int64
}

// read reads the whole file.
func (m *mapper) read() error {
	count := container.DivideUp(m.size, m.blockSize())
	if err := m.countPieces("clusters", count); err != nil {
		return err
	}
	var err error
	if m.n.layout == layoutCompressed {
		err = m.readFull(count)
	} else {
		err = m.readCompact(count)
	}
	if err != nil || m.start == m.size {
		return err
	}
	return m.end(m.size)
}

// add takes the next cluster of the content.
func (m *mapper) add(number int64, c lcluster) error {
	if c.kind == clusterInner {
		return m.addInner(number, c)
	}
	start := number*m.blockSize() + c.offset
	switch {
	case c.offset >= m.blockSize():
		return fmt.Errorf("%w: an extent begins at %d of a cluster of %d bytes", container.ErrFormat, c.offset, m.blockSize())
	case number == 0 && start != 0:
		return fmt.Errorf("%w: the first extent begins at %d of the content", container.ErrFormat, start)
	case number > 0:
		// One that begins where the content ends only says where that is.
		start = min(start, m.size)
		if err := m.end(start); err != nil {
			return err
		}
	}
	m.head, m.start, m.inner = c, start, 0
	return nil
}

// addInner takes a cluster that goes on with the extent under way. The first one
// says in how many blocks it is stored, where they can be several.
func (m *mapper) addInner(number int64, c lcluster) error {
	m.inner++
	if number == 0 {
		return fmt.Errorf("%w: no extent begins in the first cluster of the content", container.ErrFormat)
	}
	if c.blocks != 0 && (m.inner > 1 || !m.large(m.head.kind)) {
		return fmt.Errorf("%w: cluster %d of the content, %d after the beginning of its extent, says that it is stored in %d blocks", container.ErrFormat, number, m.inner, c.blocks)
	}
	m.head.blocks = max(m.head.blocks, c.blocks)
	return nil
}

// end ends the extent under way at a place in the content.
func (m *mapper) end(at int64) error {
	if err := m.appendExtent(at-m.start, at == m.size); err != nil {
		return fmt.Errorf("the extent at %d of the content: %w", m.start, err)
	}
	return nil
}

// appendExtent appends the extent under way, which has length bytes.
func (m *mapper) appendExtent(length int64, last bool) error {
	switch {
	case last && m.has(adviceTail):
		return m.appendTail(length)
	case last && m.has(adviceFragment):
		at := m.fragment
		if m.n.layout == layoutCompressed {
			at |= uint64(m.head.block) << 32
		}
		return m.appendFragment(m.n, at, length)
	}
	if m.inner > 0 && m.head.blocks == 0 && m.large(m.head.kind) {
		return fmt.Errorf("%w: nothing says in how many blocks it is stored", container.ErrFormat)
	}
	at, stored := m.place(m.head.block), max(m.head.blocks, 1)*m.blockSize()
	if m.head.kind == clusterPlain && m.has(adviceRotated) {
		return m.appendRotated(at, stored, length)
	}
	return m.appendStored(at, stored, length)
}

// appendTail appends the extent under way, which stands behind the index.
func (m *mapper) appendTail(length int64) error {
	if m.tail == 0 || m.indexEnd%m.blockSize()+m.tail > m.blockSize() {
		return fmt.Errorf("%w: it stands in %d bytes at %d, expected some within a block", container.ErrFormat, m.tail, m.indexEnd)
	}
	return m.appendStored(m.indexEnd, m.tail, length)
}

// appendStored appends the extent under way, which is stored in so many bytes at
// a place in the file and has length bytes.
func (m *mapper) appendStored(at, stored, length int64) error {
	if m.head.kind == clusterPlain {
		if length > stored {
			return fmt.Errorf("%w: it has %d bytes and is stored as it is in %d", container.ErrFormat, length, stored)
		}
		return m.appendSource(m.n, at, length)
	}
	if err := m.file.Contains("compressed extent", uint64(at), stored); err != nil {
		return err
	}
	if stored > maxStored || length > maxHeld {
		return fmt.Errorf("%w: it has %d bytes, compressed to %d, expected at most %d and %d", container.ErrUnsupported, length, stored, maxHeld, maxStored)
	}
	decode, err := m.decoder(m.algorithm(m.head.kind))
	if err != nil {
		return err
	}
	if err := m.memory.Spend(container.UnitMemory); err != nil {
		return err
	}
	unit := m.units.AddBy(decode, at, int(stored), int(length))
	return m.append(m.n, extent.Extent{Kind: extent.Source, Length: length, Digest: container.Unpacked(m.source), Offset: unit})
}

// appendRotated appends the extent under way, whose bytes stand where in their
// block they do in the content, and go on at the start of the block.
func (m *mapper) appendRotated(at, stored, length int64) error {
	if stored != m.blockSize() || length > stored {
		return fmt.Errorf("%w: it has %d bytes, stored rotated in %d, expected a block of %d", container.ErrFormat, length, stored, m.blockSize())
	}
	within := m.start % m.blockSize()
	first := min(m.blockSize()-within, length)
	if err := m.appendSource(m.n, at+within, first); err != nil {
		return err
	}
	return m.appendSource(m.n, at, length-first)
}

// appendFragment appends what stands at a place of the packed inode.
func (r *reader) appendFragment(n *inode, at uint64, length int64) error {
	if r.fragments == nil {
		if err := r.readFragments(); err != nil {
			return fmt.Errorf("the packed inode %d: %w", r.packed, err)
		}
	}
	if err := (container.File{Size: r.fragments.Size()}).Contains("end of the file in the packed inode", at, length); err != nil {
		return err
	}
	for _, e := range r.fragments.Range(int64(at), length) {
		if err := r.append(n, e); err != nil {
			return err
		}
	}
	return nil
}

// readFragments reads the packed inode.
func (r *reader) readFragments() error {
	if r.packed == 0 {
		return fmt.Errorf("%w: a file ends in it, but the filesystem has none", container.ErrFormat)
	}
	// Should it end in itself, it is empty.
	r.fragments = &extent.Map{}
	n, err := r.readFields(r.packed)
	if err != nil {
		return err
	}
	if n.Type() != image.TypeRegular {
		return fmt.Errorf("%w: its mode is %#o, that of no regular file", container.ErrFormat, n.Mode)
	}
	if err := r.readContent(n); err != nil {
		return err
	}
	r.fragments, err = n.Map()
	return err
}
