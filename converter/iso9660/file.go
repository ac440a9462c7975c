package iso9660

import (
	"context"

	"github.com/cloudlets/cloudlets/converter/inventory"
	"github.com/cloudlets/cloudlets/image"
)

// limits are what a volume can hold, and what Linux takes of it.
var limits = inventory.Limits{
	Name: maxName, Target: maxTarget, FileSize: maxBlocks * blockSize,
	Files: 1<<32 - 1, Names: 1<<32 - 1, Major: maxMajor, Minor: maxMinor,
}

// file is a file of the tree, under all its names.
type file struct {
	*inventory.File
	first int64 // block where the content stands
}

// files are those of a tree.
type files struct {
	all     []*file // by their numbers in the inventory
	regular []*file // with content, in its order in the layers
}

func collect(ctx context.Context, tree *image.Tree) (*files, error) {
	list, err := inventory.Take(ctx, tree, limits)
	if err != nil {
		return nil, err
	}
	f := &files{}
	for _, one := range list.Files {
		f.all = append(f.all, &file{File: one})
	}
	for _, one := range list.Contents() {
		f.regular = append(f.regular, f.all[one.Number])
	}
	return f, nil
}

// serial returns the number that tells hard links.
func (f *file) serial() uint32 { return uint32(f.Number + 1) }

// links returns how many names a file has, as Unix counts them.
func (f *file) links() uint32 {
	if f.IsDir() {
		return uint32(2 + f.Subdirectories)
	}
	return uint32(f.Names)
}

// place gives each file with content its blocks, one after another, and returns
// the block after them. It stops growing long before an overflow.
func (f *files) place(next int64) int64 {
	for _, one := range f.regular {
		one.first = next
		next = min(next+blocksOf(one.Bytes), maxBlocks+1)
	}
	return next
}
