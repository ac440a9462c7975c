package fat32

import (
	"encoding/binary"
	"fmt"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Options describe a filesystem.
type Options struct {
	// Size in bytes, a multiple of 512. 0 means MinSize.
	Size int64
	// ClusterSize is the unit of allocation in bytes: a power of two from 512
	// to 32 KiB. 0 means the largest usual one that leaves enough clusters.
	ClusterSize int
	// Label is the volume label: at most 11 upper-case letters, digits and
	// signs, or none.
	Label string
	// Serial is the volume serial number, which Linux shows as UUID=1234-ABCD.
	Serial uint32
}

// Plan returns a FAT32 filesystem that holds the tree. Directories come first,
// then the files in the order of their content in the layers ([image.Inode]'s
// Order), each in one piece. Times are taken from the inodes, in UTC.
//
// An error wraps [ErrTooSmall] when opts.Size is below what the tree or FAT32
// itself needs.
func Plan(tree *image.Tree, opts Options) (*extent.Map, error) {
	m, err := plan(tree, opts)
	if err != nil {
		return nil, fmt.Errorf("plan FAT32: %w", err)
	}
	return m, nil
}

// MinSize returns the size in bytes of the smallest FAT32 filesystem that holds
// the tree: with opts.ClusterSize where that is given, else with clusters of 512
// bytes. FAT32 has at least 65,525 clusters, so this is never below 32 MiB.
// opts.Size and opts.Serial do not matter.
func MinSize(tree *image.Tree, opts Options) (int64, error) {
	f, err := check(tree, opts)
	if err != nil {
		return 0, fmt.Errorf("find the least size of FAT32: %w", err)
	}
	return leastSize(f, opts), nil
}

func leastSize(f *files, opts Options) int64 {
	clusterSize := int64(opts.ClusterSize)
	if clusterSize == 0 {
		clusterSize = minCluster
	}
	return minSize(f, clusterSize)
}

// check checks the input and lists the files of the tree.
func check(tree *image.Tree, opts Options) (*files, error) {
	if err := checkClusterSize(opts.ClusterSize); err != nil {
		return nil, err
	}
	if err := checkLabel(opts.Label); err != nil {
		return nil, err
	}
	return collect(tree, opts.Label != "")
}

func plan(tree *image.Tree, opts Options) (*extent.Map, error) {
	f, err := check(tree, opts)
	if err != nil {
		return nil, err
	}
	size := opts.Size
	if size == 0 {
		size = leastSize(f, opts)
	}
	g, err := chooseGeometry(f, size, int64(opts.ClusterSize))
	if err != nil {
		return nil, err
	}
	used := f.place(g.clusterSize())

	var b extent.Builder
	writeReserved(&b, g, opts, used)
	fat := encodeFAT(f, used)
	for i := range int64(fatCount) {
		b.Inline(fat)
		b.ZeroTo((g.reserved + (i+1)*g.fatSectors) * sectorSize)
	}
	writeData(&b, g, f, opts.Label)
	b.ZeroTo(size)
	return b.Build()
}

// encodeFAT returns the used part of a FAT. Every file is one run of clusters,
// each of which points to the next.
func encodeFAT(f *files, used int64) []byte {
	le := binary.LittleEndian
	fat := make([]byte, 0, (firstCluster+used)*fatEntrySize)
	fat = le.AppendUint32(fat, fatMedia)
	fat = le.AppendUint32(fat, endOfChain)
	for _, file := range f.inOrder() {
		for i := range file.clusters {
			next := uint32(file.first + i + 1)
			if i == file.clusters-1 {
				next = endOfChain
			}
			fat = le.AppendUint32(fat, next)
		}
	}
	return fat
}

// writeData appends the clusters that are used.
func writeData(b *extent.Builder, g geometry, f *files, label string) {
	for _, dir := range f.dirs {
		b.Inline(encodeDirectory(dir, label))
		b.ZeroTo(g.clusterStart(dir.first + dir.clusters))
	}
	for _, file := range f.regular {
		for _, e := range file.inode.Content {
			b.Extent(e)
		}
		if file.clusters > 0 {
			b.ZeroTo(g.clusterStart(file.first + file.clusters))
		}
	}
}
