package squashfs

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/inventory"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Bounds of what is planned, which keep the metadata of a hostile tree in
// memory.
const (
	maxFiles      = 1 << 24
	maxBlockWords = 1 << 24 // of one file: 2 TiB in blocks of 128 KiB
	maxMetadata   = 1 << 30 // bytes of the inode table, or of the directory table
)

// plan is a filesystem being planned.
type plan struct {
	opts Options
	list *inventory.List
	out  extent.Builder

	compressor uint16
	compress   container.Compress // nil where nothing is compressed

	contents      map[*inventory.File]content
	fragmentCount uint32
	fragments     metadata
	ids           idTable
	inodes        metadata
	dirs          metadata
	xattrs        xattrTable
	refs          []reference // to inodes, by number of the file
	written       []bool      // which inodes are, by number

	scratch, inodeScratch []byte
}

// Plan returns the extent map of a squashfs that holds the tree. Its length is
// a multiple of 4096 bytes. Errors wrap [ErrOptions] or [inventory.ErrTree].
// Times are cut to whole seconds from 1970 to 2106.
func Plan(ctx context.Context, tree *image.Tree, opts Options) (*extent.Map, error) {
	p, err := newPlan(ctx, tree, opts)
	if err != nil {
		return nil, fmt.Errorf("plan squashfs: %w", err)
	}
	p.placeContents()
	m, err := p.finish(ctx)
	if err != nil {
		return nil, fmt.Errorf("plan squashfs: %w", err)
	}
	return m, nil
}

// newPlan lists the files of the tree.
func newPlan(ctx context.Context, tree *image.Tree, opts Options) (*plan, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	list, err := inventory.Take(ctx, tree, inventory.Limits{
		Name: maxNameLength - 1, // Linux takes no longer ones
		// One byte less than a page, so that Linux can end it with a zero.
		Target:   maxTarget,
		FileSize: maxBlockWords * int64(opts.BlockSize),
		Files:    maxFiles,
		Names:    math.MaxInt32,
		Major:    maxMajor,
		Minor:    maxMinor,
	})
	if err != nil {
		return nil, err
	}
	p := &plan{
		opts: opts, list: list, compressor: compressorGzip, contents: make(map[*inventory.File]content),
		refs: make([]reference, len(list.Files)), written: make([]bool, len(list.Files)),
	}
	if err := p.ids.collect(list); err != nil {
		return nil, err
	}
	return p, p.checkWords()
}

// checkWords bounds what the descriptions of all blocks take.
func (p *plan) checkWords() error {
	var words int64
	for _, f := range p.list.Contents() {
		if words += container.DivideUp(f.Bytes, int64(p.opts.BlockSize)); words > maxMetadata/wordSize {
			return fmt.Errorf("%s: all files up to here have %d blocks, the limit is %d: %w", f.Path(), words, maxMetadata/wordSize, inventory.ErrTree)
		}
	}
	return nil
}

// placeContents leaves room for the superblock and places the content of all
// files after it.
func (p *plan) placeContents() {
	p.out.Zero(superblockSize)
	blockSize := int64(p.opts.BlockSize)
	for _, f := range p.list.Contents() {
		runs := storedRuns(f.Content, f.Bytes, blockSize)
		c := content{words: storedWords(f.Bytes, blockSize, runs), holes: f.Bytes - storedSize(runs), fragment: noFragment}
		if len(runs) > 0 {
			c.start = p.out.Size()
		}
		appendStored(&p.out, f.Content, runs)
		p.contents[f] = c
	}
}

// finish writes the metadata of files whose content was placed.
func (p *plan) finish(ctx context.Context) (*extent.Map, error) {
	if err := p.writeDirectory(ctx, p.list.Root()); err != nil {
		return nil, err
	}
	return p.emit()
}

// writeDirectory writes the inodes of all that is below a directory, its
// listing, and its own inode.
func (p *plan) writeDirectory(ctx context.Context, d *inventory.File) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, e := range d.Entries {
		if e.File.IsDir() {
			if err := p.writeDirectory(ctx, e.File); err != nil {
				return err
			}
		}
	}
	for _, e := range d.Entries {
		if p.written[e.File.Number] { // a directory, or under another name
			continue
		}
		if err := p.writeInode(e.File, p.inode); err != nil {
			return err
		}
	}
	return p.writeInode(d, func(b []byte, d *inventory.File, xattrs uint32) []byte {
		return p.directoryInode(b, d, p.writeListing(d), xattrs)
	})
}

// writeInode writes an inode and remembers where.
func (p *plan) writeInode(f *inventory.File, encode func(b []byte, f *inventory.File, xattrs uint32) []byte) error {
	xattrs, err := p.xattrs.add(f, p.opts.Dropped)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path(), err)
	}
	p.inodeScratch = encode(p.inodeScratch[:0], f, xattrs)
	p.refs[f.Number], p.written[f.Number] = p.inodes.position(), true
	p.inodes.write(p.inodeScratch)
	if n := max(len(p.inodes.blocks), len(p.dirs.blocks)); n > maxMetadata {
		return fmt.Errorf("%s: the table up to here takes %d bytes, the limit is %d: %w", f.Path(), n, maxMetadata, inventory.ErrTree)
	}
	return nil
}

// emit writes the tables after the content, and the superblock before it.
func (p *plan) emit() (*extent.Map, error) {
	super := make([]byte, superblockSize)
	put := func(field int, at int64) { binary.LittleEndian.PutUint64(super[field:], uint64(at)) }
	at := p.out.Size()
	var tables []byte
	add := func(table []byte) {
		tables = append(tables, table...)
		at += int64(len(table))
	}
	put(superInodeTable, at)
	add(p.inodes.finish())
	put(superDirTable, at)
	add(p.dirs.finish())
	table, start := p.fragments.finishIndexed(at)
	put(superFragmentTable, start)
	add(table)
	table, start = p.exportTable().finishIndexed(at)
	put(superExportTable, start)
	add(table)
	table, start = p.ids.table.finishIndexed(at)
	put(superIDTable, start)
	add(table)
	if p.xattrs.count > 0 {
		table, start = p.xattrs.finish(at)
		put(superXattrTable, start)
		add(table)
	}
	put(superBytesUsed, at)
	p.encodeSuperblock(super)
	return p.assemble(super, tables)
}

// assemble joins the superblock, the content and the tables.
func (p *plan) assemble(super, tables []byte) (*extent.Map, error) {
	contents, err := p.out.Build()
	if err != nil {
		return nil, err
	}
	var b extent.Builder
	b.Grow(contents.Len()+2, len(super)+len(tables))
	b.Inline(super)
	b.Slice(contents, superblockSize, contents.Size()-superblockSize)
	b.Inline(tables)
	b.ZeroTo(container.AlignUp(b.Size(), padTo))
	return b.Build()
}

// encodeSuperblock fills in what is not the place of a table.
func (p *plan) encodeSuperblock(b []byte) {
	le := binary.LittleEndian
	flags := uint16(flagStoredInodes | flagStoredData | flagStoredFragments | flagStoredXattrs | flagStoredIDs | flagNoFragments | flagExportable)
	if p.compress != nil {
		flags = flagExportable | flagStoredIDs
	}
	if p.xattrs.count == 0 {
		flags |= flagNoXattrs
		le.PutUint64(b[superXattrTable:], absent)
	}
	le.PutUint32(b[superMagic:], magic)
	le.PutUint32(b[superInodes:], uint32(len(p.list.Files)))
	le.PutUint32(b[superFragments:], p.fragmentCount)
	le.PutUint32(b[superTime:], seconds(p.opts.Time))
	le.PutUint32(b[superBlockSize:], uint32(p.opts.BlockSize))
	le.PutUint16(b[superCompressor:], p.compressor)
	le.PutUint16(b[superBlockLog:], uint16(bits.Len(uint(p.opts.BlockSize))-1))
	le.PutUint16(b[superFlags:], flags)
	le.PutUint16(b[superIDs:], uint16(len(p.ids.index)))
	le.PutUint16(b[superMajor:], versionMajor)
	le.PutUint16(b[superMinor:], versionMinor)
	le.PutUint64(b[superRoot:], uint64(p.refs[p.list.Root().Number]))
}

// exportTable finds inodes by number, for NFS.
func (p *plan) exportTable() *metadata {
	var m metadata
	for _, ref := range p.refs {
		m.write(binary.LittleEndian.AppendUint64(nil, uint64(ref)))
	}
	return &m
}
