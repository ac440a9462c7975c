package ext4

import (
	"encoding/binary"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// blockRun is a run of blocks of a file.
type blockRun struct {
	logical, physical, count uint64
	unwritten                bool // reads as zeros
}

// runs returns the blocks of a file in its order.
func (r *reader) runs(n *foreignInode) ([]blockRun, error) {
	if n.flags&flagExtents != 0 {
		t := extentReader{reader: r, n: n}
		err := t.node(n.area(), rootNode, 0, maxFileBlocks+1)
		return t.runs, err
	}
	p := pointerReader{reader: r, n: n, end: container.DivideUp(n.size, uint64(r.blockSize))}
	err := p.all()
	return p.runs, err
}

// contentRuns is runs for blocks of content, which are noted as the file's.
func (r *reader) contentRuns(n *foreignInode) ([]blockRun, error) {
	runs, err := r.runs(n)
	if err != nil {
		return nil, err
	}
	for _, run := range runs {
		if err := r.use(run.physical, run.count, n.ino); err != nil {
			return nil, err
		}
	}
	return runs, nil
}

// content returns what a regular file holds.
func (r *reader) content(n *foreignInode) ([]extent.Extent, error) {
	if n.size > (maxFileBlocks+1)*uint64(r.blockSize) {
		return nil, fmt.Errorf("%w: it has %d bytes, a file can have %d", container.ErrFormat, n.size, (maxFileBlocks+1)*uint64(r.blockSize))
	}
	b := contentBuilder{size: int64(n.size)}
	if n.flags&flagInline != 0 {
		return b.inline(n), nil
	}
	runs, err := r.contentRuns(n)
	if err != nil {
		return nil, err
	}
	for _, run := range runs {
		b.zeroTo(int64(run.logical) * r.blockSize)
		if run.unwritten {
			b.zeroTo(int64(run.logical+run.count) * r.blockSize)
			continue
		}
		r.addBlocks(&b, run)
	}
	b.zeroTo(b.size)
	return b.out, nil
}

// inline makes the extents of a file that is kept in its inode. What is not there is
// zero: mke2fs 1.47 keeps files there that are long holes, which kernels read so.
func (b *contentBuilder) inline(n *foreignInode) []extent.Extent {
	if data := n.inlineArea(); n.size > 0 {
		b.add(extent.Extent{Kind: extent.Inline, Length: int64(len(data)), Data: data})
		b.zeroTo(b.size)
	}
	return b.out
}

// addBlocks adds a run, of which the journal may have newer versions.
func (r *reader) addBlocks(b *contentBuilder, run blockRun) {
	if len(r.replayed) == 0 {
		b.add(extent.Extent{Kind: extent.Source, Length: int64(run.count) * r.blockSize, Digest: r.source, Offset: int64(run.physical) * r.blockSize})
		return
	}
	for number := run.physical; number < run.physical+run.count; number++ {
		moved, ok := r.replayed[number]
		if !ok {
			moved.at = number
		}
		e := extent.Extent{Kind: extent.Source, Length: r.blockSize, Digest: r.source, Offset: int64(moved.at) * r.blockSize}
		if moved.escaped {
			b.add(extent.Extent{Kind: extent.Inline, Length: int64(len(journalMagicBytes)), Data: []byte(journalMagicBytes)})
			e = e.Slice(int64(len(journalMagicBytes)), e.Length-int64(len(journalMagicBytes)))
		}
		b.add(e)
	}
}

// contentBuilder makes the extents of a file of a given size.
type contentBuilder struct {
	out  []extent.Extent
	size int64 // of the file
	end  int64 // of what was added
}

// zeroTo adds zeros up to an offset.
func (b *contentBuilder) zeroTo(off int64) {
	if off > b.end {
		b.add(extent.Extent{Kind: extent.Zero, Length: off - b.end})
	}
}

// add adds an extent, joined to the last where it continues it. What lies behind
// the end of the file is left out.
func (b *contentBuilder) add(e extent.Extent) {
	if b.end >= b.size {
		return
	}
	if e.Length > b.size-b.end {
		e = e.Slice(0, b.size-b.end)
	}
	b.end += e.Length
	if last := len(b.out) - 1; last >= 0 && continues(b.out[last], e) {
		b.out[last].Length += e.Length
		return
	}
	b.out = append(b.out, e)
}

func continues(a, b extent.Extent) bool {
	switch {
	case a.Kind != b.Kind:
		return false
	case a.Kind == extent.Source:
		return a.Offset+a.Length == b.Offset
	}
	return a.Kind == extent.Zero
}

// readContent reads a file of at most maxTarget bytes.
func (r *reader) readContent(n *foreignInode) ([]byte, error) {
	runs, err := r.contentRuns(n)
	if err != nil {
		return nil, err
	}
	data := make([]byte, container.AlignUp(n.size, uint64(r.blockSize)))
	for _, run := range runs {
		for i := range run.count {
			at := (run.logical + i) * uint64(r.blockSize)
			if run.unwritten || at >= uint64(len(data)) {
				break
			}
			b, err := r.block(run.physical + i)
			if err != nil {
				return nil, err
			}
			copy(data[at:], b)
		}
	}
	return data[:n.size], nil
}

// inlineArea returns where an inode keeps content: i_block, and the rest in an
// attribute.
func (n *foreignInode) inlineArea() []byte {
	return append(append([]byte{}, n.area()...), n.inline...)
}

// inlineContent returns content that is kept in the inode whole.
func (n *foreignInode) inlineContent() ([]byte, error) {
	data := n.inlineArea()
	if n.size > uint64(len(data)) {
		return nil, fmt.Errorf("%w: of its %d bytes only %d are in the inode", container.ErrFormat, n.size, len(data))
	}
	return data[:n.size], nil
}

// extentReader reads the extent tree of a file.
type extentReader struct {
	*reader
	n    *foreignInode
	runs []blockRun
	next uint64 // the first block of the file that was not read
}

// rootNode stands for the depth of a node that may have any.
const rootNode = -1

// node reads a node of the tree, which is for the blocks of the file from from up
// to end.
func (t *extentReader) node(b []byte, depth int, from, end uint64) error {
	le := binary.LittleEndian
	count, most, has := int(le.Uint16(b[2:])), int(le.Uint16(b[4:])), int(le.Uint16(b[6:]))
	if le.Uint16(b) != extentMagic {
		return fmt.Errorf("%w: a node of the extent tree has the magic number %#04x, want %#04x", container.ErrFormat, le.Uint16(b), extentMagic)
	}
	if depth == rootNode && has <= maxExtentDepth {
		depth = has
	}
	if has != depth {
		return fmt.Errorf("%w: a node of the extent tree has the depth %d, want %d, and %d at most", container.ErrFormat, has, max(depth, 0), maxExtentDepth)
	}
	if most > len(b)/extentEntrySize-1 || count > most {
		return fmt.Errorf("%w: a node of the extent tree has %d of %d entries in %d bytes", container.ErrFormat, count, most, len(b))
	}
	for i := 1; i <= count; i++ {
		e := b[i*extentEntrySize:]
		logical := uint64(le.Uint32(e))
		if logical < max(t.next, from) || logical >= end {
			return fmt.Errorf("%w: an entry of the extent tree begins at block %d of the file, want one from %d to %d", container.ErrFormat, logical, max(t.next, from), end)
		}
		if depth == 0 {
			if err := t.leaf(e, logical, end); err != nil {
				return err
			}
			continue
		}
		childEnd := end
		if i < count {
			childEnd = min(end, uint64(le.Uint32(e[extentEntrySize:])))
		}
		if err := t.child(e, depth-1, logical, childEnd); err != nil {
			return err
		}
	}
	return nil
}

func (t *extentReader) leaf(e []byte, logical, end uint64) error {
	le := binary.LittleEndian
	run := blockRun{
		logical:  logical,
		physical: uint64(le.Uint32(e[8:])) | uint64(le.Uint16(e[6:]))<<32,
		count:    uint64(le.Uint16(e[4:])),
	}
	if run.count > maxExtentBlocks {
		run.count -= maxExtentBlocks
		run.unwritten = true
	}
	if run.count == 0 || run.count > end-logical {
		return fmt.Errorf("%w: an extent at block %d of the file has %d blocks, want 1 to %d", container.ErrFormat, logical, run.count, end-logical)
	}
	t.next = logical + run.count
	t.runs = append(t.runs, run)
	return nil
}

func (t *extentReader) child(e []byte, depth int, from, end uint64) error {
	le := binary.LittleEndian
	number := uint64(le.Uint32(e[4:])) | uint64(le.Uint16(e[8:]))<<32
	b, err := t.claim(number, t.n.ino)
	if err != nil {
		return err
	}
	if err := t.sums.checkExtents(b, t.n.seed); err != nil {
		return fmt.Errorf("block %d: %w", number, err)
	}
	if err := t.node(b, depth, from, end); err != nil {
		return fmt.Errorf("block %d: %w", number, err)
	}
	return nil
}

// pointerReader reads the blocks of a file of ext2 and ext3: 12 numbers of
// blocks, then blocks of numbers, one, two and three levels deep (ext4 doc,
// "Direct/Indirect Block Addressing").
type pointerReader struct {
	*reader
	n    *foreignInode
	end  uint64 // blocks of the file
	next uint64
	runs []blockRun
}

func (p *pointerReader) all() error {
	for i := range uint64(inodeBlockSize / 4) {
		level := uint64(0)
		if i >= directPointers {
			level = i - directPointers + 1
		}
		if err := p.pointer(uint64(binary.LittleEndian.Uint32(p.n.area()[4*i:])), level); err != nil {
			return err
		}
	}
	if p.next < p.end {
		return fmt.Errorf("%w: its %d blocks are more than block pointers reach", container.ErrFormat, p.end)
	}
	return nil
}

// pointer follows one number, 0 for a hole, to the blocks of the file below it.
func (p *pointerReader) pointer(number, level uint64) error {
	if p.next >= p.end {
		return nil
	}
	perBlock := uint64(p.blockSize / 4)
	switch {
	case number == 0:
		span := uint64(1)
		for range level {
			span *= perBlock
		}
		p.next += span
		return nil
	case level == 0:
		p.add(number)
		return nil
	}
	b, err := p.claim(number, p.n.ino)
	if err != nil {
		return err
	}
	for i := range perBlock {
		if err := p.pointer(uint64(binary.LittleEndian.Uint32(b[4*i:])), level-1); err != nil {
			return err
		}
	}
	return nil
}

func (p *pointerReader) add(number uint64) {
	last := len(p.runs) - 1
	if last >= 0 && p.runs[last].logical+p.runs[last].count == p.next && p.runs[last].physical+p.runs[last].count == number {
		p.runs[last].count++
	} else {
		p.runs = append(p.runs, blockRun{logical: p.next, physical: number, count: 1})
	}
	p.next++
}
