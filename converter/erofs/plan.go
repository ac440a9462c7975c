package erofs

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/inventory"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Bounds of what is planned.
const (
	maxFiles    = 1 << 24
	maxMetadata = 1 << 30                     // bytes of inodes, directories and attributes
	maxSize     = int64(noBlock) << blockBits // bytes; blocks have numbers of 32 bits

	// maxInline is the longest end of a directory, or target, that stands behind
	// its inode. It must not go on in a further block: the longer it may be, the
	// more is left free before it.
	maxInline = 1024

	metaBlock = 1 // where inodes start
)

// plan is a filesystem being planned.
type plan struct {
	opts   Options
	list   *inventory.List
	xattrs xattrTable
	nodes  []node // by number of the file

	inodesSize int64 // bytes, from metaBlock on
	xattrBlock uint32
	next       int64 // block that is free
}

// Plan returns the extent map of an EROFS that holds the tree. Errors wrap
// [ErrOptions] or [inventory.ErrTree].
func Plan(ctx context.Context, tree *image.Tree, opts Options) (*extent.Map, error) {
	p, err := newPlan(ctx, tree, opts)
	if err != nil {
		return nil, fmt.Errorf("plan EROFS: %w", err)
	}
	m, err := p.emit()
	if err != nil {
		return nil, fmt.Errorf("plan EROFS: %w", err)
	}
	return m, nil
}

func newPlan(ctx context.Context, tree *image.Tree, opts Options) (*plan, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	list, err := inventory.Take(ctx, tree, inventory.Limits{
		Name: maxNameLength, Target: maxTarget, FileSize: maxSize,
		Files: maxFiles, Names: math.MaxInt32, Major: maxMajor, Minor: maxMinor,
	})
	if err != nil {
		return nil, err
	}
	p := &plan{opts: opts, list: list, nodes: make([]node, len(list.Files))}
	if err := p.xattrs.collect(list); err != nil {
		return nil, err
	}
	if err := p.placeInodes(); err != nil {
		return nil, err
	}
	return p, p.placeBlocks()
}

// placeInodes says where all inodes are, the root first: its number has 16 bits.
func (p *plan) placeInodes() error {
	for i, f := range p.list.Files {
		n := &p.nodes[i]
		n.file, n.block = f, noBlock
		var err error
		if n.xattrs, err = p.xattrs.body(f); err != nil {
			return fmt.Errorf("%s: %w", f.Path(), err)
		}
		n.size = f.Bytes
		if f.IsDir() {
			n.size = dirSize(f)
		}
		if tail := n.size % blockSize; !f.IsRegular() && tail > 0 && tail <= maxInline {
			n.layout = layoutInline
		}
		n.extended = n.needsExtended(p.opts.Time)
		p.placeInode(n)
		if p.inodesSize > maxMetadata {
			return fmt.Errorf("%s: the inodes up to here take %d bytes, the limit is %d: %w", f.Path(), p.inodesSize, maxMetadata, inventory.ErrTree)
		}
	}
	return nil
}

// placeInode places an inode so that neither it nor its tail goes on in a
// further block: Linux 5.4 does not read such inodes, and no Linux such tails.
func (p *plan) placeInode(n *node) {
	fits := func(at, size int64) bool { return at%blockSize+size <= blockSize }
	n.at = container.AlignUp(p.inodesSize, slotSize)
	for !fits(n.at, n.inodeSize()) || !fits(n.tailAt(), n.tail()) {
		n.at += slotSize
	}
	p.inodesSize = n.tailAt() + n.tail()
}

// placeBlocks says where everything else is.
func (p *plan) placeBlocks() error {
	p.next = metaBlock + container.AlignUp(p.inodesSize, blockSize)/blockSize
	if len(p.xattrs.shared) > 0 {
		p.xattrBlock = uint32(p.next)
		p.next += container.DivideUp(int64(len(p.xattrs.shared)), blockSize)
	}
	for i := range p.nodes {
		if n := &p.nodes[i]; !n.file.IsRegular() {
			if err := p.placeContent(n); err != nil {
				return err
			}
		}
	}
	if size := p.next * blockSize; size > 2*maxMetadata {
		return fmt.Errorf("inodes, directories and attributes take %d bytes, the limit is %d: %w", size, 2*maxMetadata, inventory.ErrTree)
	}
	for _, f := range p.list.Contents() {
		if err := p.placeContent(&p.nodes[f.Number]); err != nil {
			return err
		}
	}
	return nil
}

// placeContent places the blocks of a file.
func (p *plan) placeContent(n *node) error {
	if n.blocks() == 0 {
		return nil
	}
	n.block = uint32(p.next)
	p.next += n.blocks()
	if p.next > noBlock {
		return fmt.Errorf("%s: the filesystem would be longer than %d bytes: %w", n.file.Path(), maxSize, inventory.ErrTree)
	}
	return nil
}

// emit writes the filesystem.
func (p *plan) emit() (*extent.Map, error) {
	var b extent.Builder
	b.Grow(2*len(p.nodes), int(p.inodesSize)+len(p.xattrs.shared)+blockSize)
	b.Inline(p.superblock())
	b.Inline(p.inodes())
	b.ZeroTo(container.AlignUp(b.Size(), blockSize))
	b.Inline(p.xattrs.shared)
	b.ZeroTo(container.AlignUp(b.Size(), blockSize))
	for i := range p.nodes {
		n := &p.nodes[i]
		if n.file.IsRegular() || n.blocks() == 0 {
			continue
		}
		content := p.generated(n)
		b.Inline(content[:int64(len(content))-n.tail()])
		b.ZeroTo(container.AlignUp(b.Size(), blockSize))
	}
	for _, f := range p.list.Contents() {
		for _, e := range f.Content {
			b.Extent(e)
		}
		b.ZeroTo(container.AlignUp(b.Size(), blockSize))
	}
	return b.Build()
}

// generated returns the content of what is not a regular file.
func (p *plan) generated(n *node) []byte {
	if n.file.IsDir() {
		return p.encodeDir(n.file)
	}
	return []byte(n.file.Target)
}

// inodes encodes all inodes.
func (p *plan) inodes() []byte {
	b := make([]byte, p.inodesSize)
	for i := range p.nodes {
		n := &p.nodes[i]
		n.encode(b[n.at:])
		if n.tail() > 0 {
			content := p.generated(n)
			copy(b[n.tailAt():], content[int64(len(content))-n.tail():])
		}
	}
	return b
}

// superblock encodes block 0.
func (p *plan) superblock() []byte {
	le := binary.LittleEndian
	block := make([]byte, blockSize)
	b := block[superOffset:]
	le.PutUint32(b[superMagic:], magic)
	le.PutUint32(b[superCompat:], compatChecksum|compatTimes)
	b[superBlockBits] = blockBits
	le.PutUint16(b[superRoot:], uint16(p.nodes[0].number()))
	le.PutUint64(b[superInodes:], uint64(len(p.nodes)))
	le.PutUint64(b[superTime:], uint64(p.opts.Time.Sec))
	le.PutUint32(b[superTimeNsec:], p.opts.Time.Nsec)
	le.PutUint32(b[superBlocks:], uint32(p.next))
	le.PutUint32(b[superMetaBlock:], metaBlock)
	le.PutUint32(b[superXattrBlock:], p.xattrBlock)
	copy(b[superUUID:], p.opts.UUID[:])
	copy(b[superLabel:superLabel+labelSize], p.opts.Label)
	le.PutUint32(b[superChecksum:], checksum(b))
	return block
}

// checksum returns the checksum of what follows the start of the superblock in
// its block, which has 0 in its place.
func checksum(b []byte) uint32 {
	return ^crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
}
