package squashfs

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/inventory"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Packing says how content is compressed.
type Packing struct {
	Compressor Compressor
	Open       extent.Opener   // what the tree's files name
	Spool      container.Spool // where compressed blocks are kept
}

// Pack returns the extent map of a squashfs that holds the tree, compressed: it
// reads all content, on all cores. The map names the blob in the spool, and the
// tree's own blobs for blocks that do not become shorter. The ends of files
// share blocks, as those of mksquashfs do. Errors are those of [Plan], and of
// reading and keeping content.
func Pack(ctx context.Context, tree *image.Tree, opts Options, packing Packing) (*extent.Map, error) {
	m, err := pack(ctx, tree, opts, packing)
	if err != nil {
		return nil, fmt.Errorf("pack squashfs: %w", err)
	}
	return m, nil
}

func pack(ctx context.Context, tree *image.Tree, opts Options, packing Packing) (*extent.Map, error) {
	p, err := newPlan(ctx, tree, opts)
	if err != nil {
		return nil, err
	}
	p.compressor = uint16(packing.Compressor)
	if p.compress, err = packing.Compressor.newCompress(p.opts.BlockSize); err != nil {
		return nil, err
	}
	for _, table := range []*metadata{&p.fragments, &p.inodes, &p.dirs, &p.xattrs.pairs, &p.xattrs.ids} {
		table.compress = p.compress
	}
	if err := p.packContents(ctx, packing); err != nil {
		return nil, err
	}
	return p.finish(ctx)
}

// layout puts the content of files on a grid of blocks: the whole blocks of each
// file, and between those of one file and the next the fragments that are full.
type layout struct {
	blockSize int64
	disk      extent.Builder
	fragment  extent.Builder // under way
	fragments []int64        // which blocks are fragments
	used      []int64        // bytes of each fragment
	files     []placedFile
}

// placedFile is where on the grid a file is.
type placedFile struct {
	file         *inventory.File
	first, count int64 // of its whole blocks

	fragment int // where the rest is; -1 if there is none
	offset   int64
}

// add puts a file on the grid.
func (l *layout) add(f *inventory.File) error {
	content, err := f.Map()
	if err != nil {
		return err
	}
	placed := placedFile{file: f, count: f.Bytes / l.blockSize, fragment: -1}
	rest := f.Bytes % l.blockSize
	if l.fragment.Size()+rest > l.blockSize {
		if err := l.flush(); err != nil {
			return err
		}
	}
	placed.first = l.disk.Size() / l.blockSize
	l.disk.Slice(content, 0, f.Bytes-rest)
	if rest > 0 {
		placed.fragment, placed.offset = len(l.fragments), l.fragment.Size()
		l.fragment.Slice(content, f.Bytes-rest, rest)
	}
	l.files = append(l.files, placed)
	return nil
}

// flush puts the fragment under way on the grid.
func (l *layout) flush() error {
	content, err := l.fragment.Build()
	if err != nil || content.Size() == 0 {
		return err
	}
	l.fragments = append(l.fragments, l.disk.Size()/l.blockSize)
	l.used = append(l.used, content.Size())
	l.disk.Map(content)
	l.disk.Zero(-content.Size() & (l.blockSize - 1))
	return nil
}

// block is where a block of the grid stands in the filesystem.
type block struct {
	at   int64
	word uint32
}

// packContents compresses the content of all files and places it.
func (p *plan) packContents(ctx context.Context, packing Packing) error {
	l := &layout{blockSize: int64(p.opts.BlockSize)}
	for _, f := range p.list.Contents() {
		if err := l.add(f); err != nil {
			return fmt.Errorf("%s: %w", f.Path(), err)
		}
	}
	if err := l.flush(); err != nil {
		return err
	}
	disk, err := l.disk.Build()
	if err != nil {
		return err
	}
	packed, err := container.Pack(ctx, container.Packing{
		Disk: disk, Open: packing.Open, Grain: l.blockSize,
		Compressor: func() (container.Compress, error) { return packing.Compressor.newCompress(p.opts.BlockSize) },
	}, packing.Spool)
	if err != nil {
		return err
	}
	p.out.Zero(superblockSize)
	blocks := p.placeBlocks(disk, packed, l)
	p.describeFragments(blocks, l)
	p.describeFiles(blocks, l)
	return nil
}

// placeBlocks places the blocks of the grid, in their order. Those of zeros take
// no space, unless they are fragments.
func (p *plan) placeBlocks(disk *extent.Map, packed *container.Packed, l *layout) []block {
	blocks := make([]block, disk.Size()/l.blockSize)
	for _, g := range packed.Grains {
		b := &blocks[g.Number]
		b.at = p.out.Size()
		if g.Length == 0 { // it does not become shorter
			b.word = uint32(l.blockSize) | blockStored
			p.out.Slice(disk, g.Number*l.blockSize, l.blockSize)
			continue
		}
		b.word = uint32(g.Length)
		p.out.Source(packed.Blob, g.Offset, g.Length)
	}
	for i, number := range l.fragments {
		if b := &blocks[number]; b.word == 0 {
			*b = block{at: p.out.Size(), word: uint32(l.used[i]) | blockStored}
			p.out.Zero(l.used[i])
		}
	}
	return blocks
}

// describeFragments writes the table of fragments.
func (p *plan) describeFragments(blocks []block, l *layout) {
	p.fragmentCount = uint32(len(l.fragments))
	for _, number := range l.fragments {
		entry := binary.LittleEndian.AppendUint64(nil, uint64(blocks[number].at))
		entry = binary.LittleEndian.AppendUint32(entry, blocks[number].word)
		p.fragments.write(binary.LittleEndian.AppendUint32(entry, 0))
	}
}

// describeFiles notes where the content of every file is.
func (p *plan) describeFiles(blocks []block, l *layout) {
	for _, f := range l.files {
		c := content{words: make([]uint32, f.count), fragment: noFragment}
		if f.fragment >= 0 {
			c.fragment, c.offset = uint32(f.fragment), uint32(f.offset)
		}
		for i := range c.words {
			b := blocks[f.first+int64(i)]
			c.words[i] = b.word
			switch {
			case b.word == 0:
				c.holes += l.blockSize
			case c.start == 0:
				c.start = b.at
			}
		}
		p.contents[f.file] = c
	}
}
