package iso9660

import (
	"context"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/inventory"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Plan returns a volume that holds the tree, with Rock Ridge. The same tree and
// options give the same bytes.
//
// Content of 4 GiB and more takes several file sections (interchange level 3).
// Times are kept to the second; those before 1900 or after 2155 become the
// nearest that ISO 9660 can tell. What has no place at all gives an error that
// wraps
// [inventory.ErrTree]. The tree is not changed.
func Plan(ctx context.Context, tree *image.Tree, opts Options) (*extent.Map, error) {
	m, err := plan(ctx, tree, opts)
	if err != nil {
		return nil, fmt.Errorf("plan ISO 9660: %w", err)
	}
	return m, nil
}

func plan(ctx context.Context, tree *image.Tree, opts Options) (*extent.Map, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	files, err := collect(ctx, tree)
	if err != nil {
		return nil, err
	}
	if opts.Time == (image.Time{}) {
		opts.Time = tree.Root.ModTime
	}
	v := &volume{opts: opts, files: files}
	if v.plain, err = newHierarchy(files, plainNaming()); err != nil {
		return nil, err
	}
	if opts.Joliet {
		if v.joliet, err = newHierarchy(files, jolietNaming()); err != nil {
			return nil, err
		}
	}
	if err := v.place(); err != nil {
		return nil, err
	}
	return v.emit()
}

// volume is a volume being planned.
type volume struct {
	opts   Options
	files  *files
	plain  *hierarchy
	joliet *hierarchy // nil without

	uefi int64 // block of the EFI system partition
	end  int64 // blocks of the volume
}

// hierarchies returns the one or two that the volume has.
func (v *volume) hierarchies() []*hierarchy {
	if v.joliet == nil {
		return []*hierarchy{v.plain}
	}
	return []*hierarchy{v.plain, v.joliet}
}

// place gives everything its blocks.
func (v *volume) place() error {
	next := int64(BIOSImageBlock) + blocksOf(int64(len(v.boot().BIOS)))
	for _, h := range v.hierarchies() {
		next = h.placeTables(next)
	}
	for _, h := range v.hierarchies() {
		var err error
		if next, err = h.place(next); err != nil {
			return err
		}
	}
	next = v.files.place(next)
	v.uefi = next
	if esp := v.boot().UEFI; esp != nil {
		next += blocksOf(esp.Size())
	}
	if v.end = next + paddingBlocks; v.end > maxBlocks {
		return fmt.Errorf("%w: the content takes more than the %d bytes that a volume has at most", inventory.ErrTree, int64(maxBlocks*blockSize))
	}
	return nil
}

// boot returns what firmware starts, which may be nothing.
func (v *volume) boot() Boot {
	if v.opts.Boot == nil {
		return Boot{}
	}
	return *v.opts.Boot
}

// emit appends everything in the order of its blocks.
func (v *volume) emit() (*extent.Map, error) {
	var b extent.Builder
	to := func(block int64) { b.ZeroTo(block * blockSize) }
	if v.opts.Boot != nil {
		b.Inline(v.diskSector())
	}
	to(primaryBlock)
	for _, d := range v.descriptors() {
		b.Inline(d)
	}
	if v.opts.Boot != nil {
		to(catalogBlock)
		b.Inline(v.catalog())
		to(BIOSImageBlock)
		b.Inline(v.biosImage())
	}
	for _, h := range v.hierarchies() {
		to(h.tableL)
		h.emitTables(&b)
	}
	for _, h := range v.hierarchies() {
		to(h.dirs[0].first)
		h.emit(&b)
	}
	for _, file := range v.files.regular {
		to(file.first)
		for _, e := range file.Content {
			b.Extent(e)
		}
	}
	to(v.uefi)
	if esp := v.boot().UEFI; esp != nil {
		b.Map(esp)
	}
	to(v.end)
	return b.Build()
}
