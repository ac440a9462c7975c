package fat32

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/image"
)

// file is a directory or regular file to be placed.
type file struct {
	inode    *image.Inode
	parent   *file // the root's is the root
	size     int64 // bytes; of a directory what its entries take
	children []child

	first    int64 // the first cluster, 0 for an empty file
	clusters int64
}

// child is a named file in a directory.
type child struct {
	name entryName
	file *file
}

// files is all that is to be placed.
type files struct {
	dirs    []*file // the root first, each before what is in it
	regular []*file // in the order their content stands in the layers
}

// collect checks a tree and lists its files. label says whether the root holds a
// volume label.
func collect(tree *image.Tree, label bool) (*files, error) {
	f := &files{}
	root := &file{inode: tree.Root}
	root.parent = root
	if !tree.Root.IsDir() {
		return nil, fmt.Errorf("the root is of type %06o: want a directory", tree.Root.Type())
	}
	if label {
		root.size = dirEntrySize
	}
	if err := f.addDirectory("", root); err != nil {
		return nil, err
	}
	slices.SortStableFunc(f.regular, func(a, b *file) int { return cmp.Compare(a.inode.Order, b.inode.Order) })
	return f, nil
}

// addDirectory lists a directory and all in it. path ends in a slash, or is empty.
func (f *files) addDirectory(path string, dir *file) error {
	f.dirs = append(f.dirs, dir)
	if dir.parent != dir {
		dir.size = 2 * dirEntrySize // "." and ".."
	}
	names := dir.inode.Names()
	entries, err := nameAll(names)
	if err != nil {
		return fmt.Errorf("directory %q: %w", "/"+path, err)
	}
	for i, name := range names {
		dir.size += entries[i].entries() * dirEntrySize
		child := child{name: entries[i], file: &file{inode: dir.inode.Lookup(name), parent: dir}}
		dir.children = append(dir.children, child)
	}
	if dir.size > maxDirectory {
		return fmt.Errorf("directory %q: its names take %d entries, FAT allows %d; use fewer or shorter names",
			"/"+path, dir.size/dirEntrySize, maxDirectory/dirEntrySize)
	}
	for i, name := range names {
		if err := f.add(path+name, dir.children[i].file); err != nil {
			return err
		}
	}
	return nil
}

func (f *files) add(path string, child *file) error {
	switch {
	case child.inode.IsDir():
		return f.addDirectory(path+"/", child)
	case child.inode.IsRegular():
		child.size = child.inode.Size()
		if child.size < 0 || child.size > maxFileSize {
			return fmt.Errorf("%q has %d bytes: FAT files have at most %d", "/"+path, child.size, int64(maxFileSize))
		}
		f.regular = append(f.regular, child)
		return nil
	}
	return fmt.Errorf("%q is of type %06o: FAT holds directories and regular files only; leave it out", "/"+path, child.inode.Type())
}

// inOrder returns the files in the order they take clusters.
func (f *files) inOrder() []*file { return slices.Concat(f.dirs, f.regular) }

// clusters returns how many clusters of that size the files take.
func (f *files) clusters(clusterSize int64) int64 {
	var n int64
	for _, file := range f.inOrder() {
		n += clustersOf(file, clusterSize)
	}
	return n
}

// place gives each file its clusters, one after another, and returns how many
// are taken.
func (f *files) place(clusterSize int64) (used int64) {
	next := int64(firstCluster)
	for _, file := range f.inOrder() {
		if file.clusters = clustersOf(file, clusterSize); file.clusters > 0 {
			file.first = next
			next += file.clusters
		}
	}
	return next - firstCluster
}

// clustersOf returns how many clusters a file takes. A directory takes one even
// when it is empty.
func clustersOf(f *file, clusterSize int64) int64 {
	n := container.DivideUp(f.size, clusterSize)
	if f.inode.IsDir() {
		return max(1, n)
	}
	return n
}
