package fat32

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Open returns the files of a FAT12, FAT16 or FAT32 filesystem, whose content is
// extents of the filesystem's own bytes: r reads them, size is their number, and
// source is the digest by which the extents name them.
//
// Files are what Linux makes of them where nobody says more: owned by root, with
// the mode 0755, or 0555 where they are read-only; times are UTC; short names are
// in code page 437, in lower case where the entry says so. Labels are no files.
//
// A cluster that is used twice, be it by a chain that leads into itself, a chain
// that is too short for its file and all else that is unsound is refused with
// [container.ErrFormat]. The message names the file. Memory is bounded by what the
// filesystem really holds, one bit a cluster, and [container.MaxTree].
func Open(r io.ReaderAt, size int64, source extent.Digest) (*image.Tree, error) {
	tree, err := newVolume(r, size, source).open()
	if err != nil {
		return nil, fmt.Errorf("open FAT filesystem of %d bytes: %w", size, err)
	}
	return tree, nil
}

// volume is a filesystem that is read. Positions are in bytes.
type volume struct {
	file   container.File
	source extent.Digest
	memory container.Memory

	width       int   // bits of an entry of the FAT
	fat         int64 // where the FAT that is in use begins
	clusterSize int64
	clusters    uint32 // and the first is number 2
	data        int64  // where cluster 2 begins
	rootStart   int64  // of FAT12 and FAT16
	rootSize    int64
	rootCluster uint32 // of FAT32

	used  []uint64 // a bit for each cluster
	page  []byte   // of the FAT
	pages int64    // where it begins
}

func newVolume(r io.ReaderAt, size int64, source extent.Digest) *volume {
	return &volume{file: container.File{Reader: r, Size: size}, source: source, memory: container.Memory{Limit: container.MaxTree}}
}

// Bounds of what is read.
const (
	maxSectorSize  = 4096 // bytes
	maxClusterSize = 1 << 20
	maxFAT12       = 4084  // clusters; more make it FAT16
	fatPage        = 32768 // bytes of the FAT that are kept
	maxDepth       = 2048  // directories in a path: more than fit in PATH_MAX
	rootDirEntries = 17    // where the fields that FAT32 has no use for stand
	totalSectors16 = 19
	fatSectors16   = 22
	totalSectors32 = 32
	fatSectors32   = 36
	extendedFlags  = 40
	rootClusterAt  = 44
	fatNotMirrored = 0x80 // only the FAT of the low bits is in use
	fatInUse       = 0x0f
	badCluster     = 0x0ffffff7 // this and more is no number of a cluster
	fat32EntryBits = 28
)

func (v *volume) open() (*image.Tree, error) {
	boot, err := v.file.Bytes("boot sector", 0, sectorSize)
	if err != nil {
		return nil, err
	}
	if err := v.readBoot(boot); err != nil {
		return nil, fmt.Errorf("boot sector: %w", err)
	}
	v.used = make([]uint64, (int64(v.clusters)+firstCluster+63)/64)
	root := &image.Inode{Mode: image.TypeDir | openMode, Links: 1}
	entries, err := v.rootDirectory()
	if err != nil {
		return nil, fmt.Errorf("root directory: %w", err)
	}
	if err := v.fill(root, entries, "", 1); err != nil {
		return nil, err
	}
	tree := &image.Tree{Root: root}
	tree.Sort()
	return tree, nil
}

// readBoot reads the BIOS parameter block. FAT32 is what has no size of the FAT
// in its old place; of the others the number of clusters decides.
func (v *volume) readBoot(boot []byte) error {
	le := binary.LittleEndian
	sector, perCluster := int64(le.Uint16(boot[11:])), int64(boot[13])
	switch {
	case le.Uint16(boot[signatureAt:]) != bootSignature:
		return fmt.Errorf("%w: it ends in %#04x, want %#04x", container.ErrFormat, le.Uint16(boot[signatureAt:]), bootSignature)
	case sector < sectorSize || sector > maxSectorSize || bits.OnesCount64(uint64(sector)) != 1:
		return fmt.Errorf("%w: sectors of %d bytes, want a power of two from %d to %d", container.ErrFormat, sector, sectorSize, maxSectorSize)
	case bits.OnesCount8(boot[13]) != 1 || perCluster*sector > maxClusterSize:
		return fmt.Errorf("%w: clusters of %d sectors, want a power of two and at most %d bytes", container.ErrFormat, perCluster, maxClusterSize)
	}
	v.clusterSize = perCluster * sector
	reserved, fats := int64(le.Uint16(boot[14:])), int64(boot[16])
	total, fatSectors := int64(le.Uint16(boot[totalSectors16:])), int64(le.Uint16(boot[fatSectors16:]))
	if total == 0 {
		total = int64(le.Uint32(boot[totalSectors32:]))
	}
	isFAT32 := fatSectors == 0
	if isFAT32 {
		fatSectors = int64(le.Uint32(boot[fatSectors32:]))
		v.rootCluster = le.Uint32(boot[rootClusterAt:])
	}
	v.rootStart = (reserved + fats*fatSectors) * sector
	v.rootSize = int64(le.Uint16(boot[rootDirEntries:])) * dirEntrySize
	v.data = v.rootStart + (v.rootSize+sector-1)/sector*sector
	clusters := (total*sector - v.data) / v.clusterSize
	switch {
	case reserved == 0 || fats == 0 || fatSectors == 0:
		return fmt.Errorf("%w: %d reserved sectors and %d FATs of %d sectors, want at least one of each", container.ErrFormat, reserved, fats, fatSectors)
	case total*sector > v.file.Size:
		return fmt.Errorf("%w: it says that it has %d sectors of %d bytes, but only %d bytes are there", container.ErrFormat, total, sector, v.file.Size)
	case clusters < 1 || clusters > maxClusters-firstCluster:
		return fmt.Errorf("%w: its %d sectors hold %d clusters", container.ErrFormat, total, clusters)
	}
	v.clusters = uint32(clusters)
	v.setWidth(isFAT32)
	if need := (clusters + firstCluster) * int64(v.width) / 8; need > fatSectors*sector {
		return fmt.Errorf("%w: a FAT of %d bytes for %d clusters, want at least %d", container.ErrFormat, fatSectors*sector, clusters, need)
	}
	return v.chooseFAT(boot, reserved*sector, fats, fatSectors*sector, isFAT32)
}

func (v *volume) setWidth(isFAT32 bool) {
	switch {
	case isFAT32:
		v.width = 32
	case v.clusters <= maxFAT12:
		v.width = 12
	default:
		v.width = 16
	}
}

// chooseFAT takes the first FAT, unless the copies are not kept alike.
func (v *volume) chooseFAT(boot []byte, first, fats, size int64, isFAT32 bool) error {
	v.fat = first
	flags := int64(binary.LittleEndian.Uint16(boot[extendedFlags:]))
	if !isFAT32 || flags&fatNotMirrored == 0 {
		return nil
	}
	if flags&fatInUse >= fats {
		return fmt.Errorf("%w: FAT %d of %d is in use", container.ErrFormat, flags&fatInUse+1, fats)
	}
	v.fat += flags & fatInUse * size
	return nil
}

// next returns the entry of the FAT for a cluster: the cluster that follows it,
// or a mark that is no number of a cluster.
func (v *volume) next(cluster uint32) (uint32, error) {
	bit := int64(cluster) * int64(v.width)
	b, err := v.fatBytes(v.fat+bit/8, (v.width+7)/8)
	if err != nil {
		return 0, err
	}
	switch v.width {
	case 12:
		return widen(uint32(binary.LittleEndian.Uint16(b)>>(bit%8)&0xfff), 0xff7), nil
	case 16:
		return widen(uint32(binary.LittleEndian.Uint16(b)), 0xfff7), nil
	}
	return binary.LittleEndian.Uint32(b) & (1<<fat32EntryBits - 1), nil
}

// widen gives the marks of narrow entries, which begin at bad, the values that
// they have in FAT32.
func widen(entry, bad uint32) uint32 {
	if entry >= bad {
		return entry - bad + badCluster
	}
	return entry
}

// fatBytes returns n bytes of the FAT, of which one page is kept.
func (v *volume) fatBytes(at int64, n int) ([]byte, error) {
	if at < v.pages || at+int64(n) > v.pages+int64(len(v.page)) {
		size := min(fatPage, v.file.Size-at)
		page, err := v.file.Bytes("FAT", uint64(at), max(size, int64(n)))
		if err != nil {
			return nil, err
		}
		v.page, v.pages = page, at
	}
	return v.page[at-v.pages:][:n], nil
}

// chain returns the clusters from first on: as many as hold size bytes, or where
// size is negative up to the end, at most maxDirectory bytes. They must be used by
// nobody else.
func (v *volume) chain(first uint32, size int64) ([]uint32, error) {
	want := (maxDirectory + v.clusterSize - 1) / v.clusterSize
	if size >= 0 {
		want = (size + v.clusterSize - 1) / v.clusterSize
	}
	var clusters []uint32
	for cluster := first; int64(len(clusters)) < want; {
		if cluster < firstCluster || cluster-firstCluster >= v.clusters {
			return nil, fmt.Errorf("%w: cluster %#x follows after %d of %d bytes; there are the clusters %d to %d",
				container.ErrFormat, cluster, int64(len(clusters))*v.clusterSize, max(size, 0), firstCluster, v.clusters+firstCluster-1)
		}
		if v.used[cluster/64]&(1<<(cluster%64)) != 0 {
			return nil, fmt.Errorf("%w: cluster %d is in use already; run fsck.vfat on it first", container.ErrFormat, cluster)
		}
		v.used[cluster/64] |= 1 << (cluster % 64)
		clusters = append(clusters, cluster)
		next, err := v.next(cluster)
		if err != nil {
			return nil, err
		}
		if size < 0 && next > badCluster {
			return clusters, nil
		}
		cluster = next
	}
	if size < 0 {
		return nil, fmt.Errorf("%w: it has more than %d bytes", container.ErrFormat, maxDirectory)
	}
	return clusters, nil
}

// position returns where a cluster stands.
func (v *volume) position(cluster uint32) int64 {
	return v.data + int64(cluster-firstCluster)*v.clusterSize
}
