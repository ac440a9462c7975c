package fat32

import (
	"errors"
	"fmt"
	"math/bits"
	"sort"

	"github.com/cloudlets/cloudlets/converter/container"
)

// ErrTooSmall is wrapped when a filesystem is too small for FAT32 or for the
// tree. The message says how large it must be.
var ErrTooSmall = errors.New("the filesystem is too small")

// geometry is where the parts of a filesystem stand, in sectors.
type geometry struct {
	sectors        int64 // of the filesystem
	clusterSectors int64 // of a cluster
	reserved       int64 // before the first FAT
	fatSectors     int64 // of one FAT
	clusters       int64 // clusters of the data region
}

func (g geometry) clusterSize() int64 { return g.clusterSectors * sectorSize }
func (g geometry) dataStart() int64   { return g.reserved + fatCount*g.fatSectors }

// clusterStart returns the offset in bytes of a cluster.
func (g geometry) clusterStart(cluster int64) int64 {
	return (g.dataStart() + (cluster-firstCluster)*g.clusterSectors) * sectorSize
}

// layOut divides a filesystem of size bytes.
func layOut(size, clusterSize int64) geometry {
	g := geometry{sectors: size / sectorSize, clusterSectors: clusterSize / sectorSize}
	// The FATs take room from the clusters they describe: take the shortest
	// that describe what they leave.
	longest := fatSectors(g.sectors / g.clusterSectors)
	g.setFAT(int64(sort.Search(int(longest), func(n int) bool {
		g.setFAT(int64(n))
		return fatSectors(g.clusters) <= int64(n)
	})))
	return g
}

// setFAT sets the length of a FAT, reserves sectors before it so that the data
// region is aligned, and leaves the rest to clusters.
func (g *geometry) setFAT(sectors int64) {
	g.fatSectors = sectors
	alignment := max(g.clusterSize(), dataAlignment) / sectorSize
	g.reserved = container.AlignUp(minReserved+fatCount*sectors, alignment) - fatCount*sectors
	g.clusters = max(0, g.sectors-g.dataStart()) / g.clusterSectors
}

func fatSectors(clusters int64) int64 {
	return container.DivideUp((clusters+firstCluster)*fatEntrySize, sectorSize)
}

// sizeFor returns the size in bytes of a filesystem with that many clusters.
func sizeFor(clusters, clusterSize int64) int64 {
	g := geometry{clusterSectors: clusterSize / sectorSize}
	g.setFAT(fatSectors(clusters))
	return (g.dataStart() + clusters*g.clusterSectors) * sectorSize
}

// minSize returns the size in bytes of the smallest FAT32 that holds the files.
func minSize(files *files, clusterSize int64) int64 {
	return sizeFor(max(files.clusters(clusterSize), minClusters), clusterSize)
}

// chooseGeometry finds the layout for a filesystem of size bytes that holds the
// files. clusterSize 0 means the largest that the size calls for and that
// leaves enough clusters.
func chooseGeometry(files *files, size, clusterSize int64) (geometry, error) {
	if size < 0 || size%sectorSize != 0 || size/sectorSize > maxSectors {
		return geometry{}, fmt.Errorf("size %d: want a multiple of %d, at most %d", size, sectorSize, int64(maxSectors*sectorSize))
	}
	largest, smallest := clusterSize, clusterSize
	if clusterSize == 0 {
		largest, smallest = usualClusterSize(size), minCluster
	}
	for c := largest; c >= smallest; c /= 2 {
		g := layOut(size, c)
		if g.clusters > maxClusters {
			return geometry{}, fmt.Errorf("clusters of %d bytes: a filesystem of %d bytes has %d of them, FAT32 at most %d; choose larger ones",
				c, size, g.clusters, maxClusters)
		}
		if g.clusters >= max(files.clusters(c), minClusters) {
			return g, nil
		}
	}
	return geometry{}, fmt.Errorf("%w: %d bytes, want at least %d", ErrTooSmall, size, minSize(files, smallest))
}

// usualClusterSize returns the cluster size the specification's table for FAT32
// gives a filesystem of size bytes, where the table starts at 4 KiB.
func usualClusterSize(size int64) int64 {
	switch {
	case size <= 8<<30:
		return 4 << 10
	case size <= 16<<30:
		return 8 << 10
	case size <= 32<<30:
		return 16 << 10
	}
	return maxCluster
}

func checkClusterSize(size int) error {
	if size != 0 && (size < minCluster || size > maxCluster || bits.OnesCount(uint(size)) != 1) {
		return fmt.Errorf("cluster size %d: want a power of two from %d to %d", size, minCluster, maxCluster)
	}
	return nil
}
