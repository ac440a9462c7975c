package ext4

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// plan is a filesystem being planned.
type plan struct {
	*collector
	opts    Options
	geo     geometry
	journal *node // nil without one

	regions     []region
	blocks      allocator
	pieces      []piece // in ascending order
	resizeBlock uint32  // the block of the resize inode

	descriptors  []byte // of all groups
	dirsPerGroup []uint32
	freeBlocks   uint64
}

// Plan returns the extent map of a filesystem that holds the tree. Its length
// is opts.Size, or that of the smallest filesystem with the free space asked
// for. Nobody else may use the tree meanwhile. Errors wrap [ErrOptions] or [ErrTree], or are a [*TooSmallError].
func Plan(tree *image.Tree, opts Options) (*extent.Map, error) {
	p, err := newPlan(tree, opts)
	if err != nil {
		return nil, fmt.Errorf("plan ext4: %w", err)
	}
	m, err := p.build()
	if err != nil {
		return nil, fmt.Errorf("plan ext4: %w", err)
	}
	return m, nil
}

// MinSize returns the smallest opts.Size, in bytes, that lets [Plan] succeed:
// if opts.Size is set, the smallest that is at least as large.
//
// It may be a few blocks more than the tree needs, and not every larger size is
// enough: a journal grows with its filesystem in steps.
func MinSize(tree *image.Tree, opts Options) (int64, error) {
	p, err := newPlanOfAtLeast(tree, opts)
	if err != nil {
		return 0, fmt.Errorf("size of ext4: %w", err)
	}
	return max(opts.Size, p.size()), nil
}

// newPlan collects the tree and chooses the geometry.
func newPlan(tree *image.Tree, opts Options) (*plan, error) {
	p, err := newPlanOfAtLeast(tree, opts)
	if err != nil || opts.Size == 0 {
		return p, err
	}
	if fit := newGeometry(uint64(opts.Size)/blockSize, p.inodesNeeded(), p.opts); fit != p.geo {
		return nil, &TooSmallError{Size: opts.Size, Need: p.size()}
	}
	return p, nil
}

// newPlanOfAtLeast returns the plan of the smallest filesystem that is at least
// as large as opts.Size.
func newPlanOfAtLeast(tree *image.Tree, opts Options) (*plan, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &plan{collector: newCollector(opts), opts: opts}
	if err := p.collect(tree, opts); err != nil {
		return nil, err
	}
	content := p.contentBlocks()
	p.geo, err = smallestGeometry(uint64(opts.Size)/blockSize, p.inodesNeeded(), opts, func(g geometry) uint64 {
		journal := node{runs: []run{{0, g.journalBlocks}}}
		return g.fixedBlocks() + content + journal.blocksNeeded()
	})
	return p, err
}

func (p *plan) size() int64 { return int64(p.geo.blocks) * blockSize }

func (p *plan) usedInodes() uint64 { return reservedInodes + uint64(len(p.files)) }

func (p *plan) inodesNeeded() uint64 { return p.usedInodes() + uint64(p.opts.FreeInodes) }

// contentBlocks returns how many blocks are needed for all that does not depend
// on the geometry, with the free space.
func (p *plan) contentBlocks() uint64 {
	n := container.DivideUp(uint64(p.opts.FreeSpace), blockSize)
	n++ // the block of the resize inode
	n += p.root.blocksNeeded()
	for _, file := range p.files {
		n += file.blocksNeeded()
	}
	return n
}

// build places everything and writes the map.
func (p *plan) build() (*extent.Map, error) {
	regions, err := placeRegions(p.geo)
	if err != nil {
		return nil, err
	}
	p.regions = regions
	p.blocks.regions = regions
	p.placeMetadata()
	p.placeFiles()
	if p.blocks.next > p.geo.blocks {
		return nil, fmt.Errorf("the content ends at block %d, past the end at %d", p.blocks.next, p.geo.blocks)
	}
	p.countDirectories()
	if err := p.buildDescriptors(); err != nil {
		return nil, err
	}
	return p.emit()
}

// placeMetadata places what is not the content of files, and the journal.
func (p *plan) placeMetadata() {
	p.placeXattrs(p.root)
	p.place(p.root)
	for _, n := range p.files {
		p.placeXattrs(n)
		if !n.isFile() {
			p.place(n)
		}
	}
	p.resizeBlock = p.placeBlock(func(uint32) blocks { return p.resizePointers() })
	p.placeJournal()
}

func (p *plan) placeXattrs(n *node) {
	if n.xattrs.block == nil {
		return
	}
	n.xattrBlock = p.placeBlock(func(at uint32) blocks {
		p.sums.xattrs(n.xattrs.block, at)
		return n.xattrs.block
	})
}

func (p *plan) placeJournal() {
	length := p.geo.journalBlocks
	if length == 0 {
		return
	}
	p.journal = &node{
		ino:     journalIno,
		mode:    uint16(image.TypeRegular | 0o600),
		links:   1,
		time:    p.opts.Time,
		size:    int64(length) * blockSize,
		flags:   flagExtents,
		content: journalSuperblock(length, p.opts.UUID),
		runs:    []run{{0, length}},
	}
	p.place(p.journal)
}

// placeFiles places the content of regular files in the order in which it
// stands in the layers.
func (p *plan) placeFiles() {
	var files []*node
	for _, n := range p.files {
		if n.isFile() {
			files = append(files, n)
		}
	}
	slices.SortStableFunc(files, func(a, b *node) int { return cmp.Compare(a.order, b.order) })
	for _, n := range files {
		p.place(n)
	}
}

func (p *plan) countDirectories() {
	p.dirsPerGroup = make([]uint32, p.geo.groups)
	p.dirsPerGroup[0] = 1 // the root
	for _, n := range p.files {
		if n.isDir() {
			p.dirsPerGroup[(n.ino-1)/p.geo.inodesPerGroup]++
		}
	}
}

// emit writes regions and pieces in the order of their blocks.
func (p *plan) emit() (*extent.Map, error) {
	var b extent.Builder
	b.Grow(p.outputSize())
	regions := p.regions
	for _, piece := range p.pieces {
		for len(regions) > 0 && regions[0].start < uint64(piece.physical) {
			if err := p.emitAt(&b, regions[0]); err != nil {
				return nil, err
			}
			regions = regions[1:]
		}
		b.ZeroTo(int64(piece.physical) * blockSize)
		piece.content.emit(&b, int64(piece.logical)*blockSize, int64(piece.count)*blockSize)
	}
	for _, r := range regions {
		if err := p.emitAt(&b, r); err != nil {
			return nil, err
		}
	}
	b.ZeroTo(max(p.opts.Size, p.size()))
	return b.Build()
}

// outputSize estimates how many extents and inline bytes the map will have.
func (p *plan) outputSize() (extents, bytes int) {
	extents = 2 * (len(p.pieces) + len(p.regions))
	bytes = int(p.usedInodes()) * inodeSize
	for range superblockGroups(p.geo.groups) {
		bytes += superblockSize + len(p.descriptors)
	}
	for _, piece := range p.pieces {
		if b, ok := piece.content.(blocks); ok {
			bytes += b.inlineSize()
		}
	}
	return extents, bytes
}

func (p *plan) emitAt(b *extent.Builder, r region) error {
	b.ZeroTo(int64(r.start) * blockSize)
	return p.emitRegion(b, r)
}
