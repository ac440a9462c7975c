package parallels

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// Open returns the disk in a file of Parallels as an extent map over the file's
// own bytes: r reads the file, size is its length in bytes, and source is the
// digest by which the map names it. Clusters that are absent become zero extents.
// The format extension, which holds bitmaps for backups, is not read.
//
// Every offset is checked to lie within the file, and no place may be used
// twice. Files that were not closed are refused with container.ErrUnsupported,
// all else that is wrong with container.ErrFormat.
//
// Memory is bounded by what the file really holds: some 100 bytes for each run
// of clusters.
func Open(r io.ReaderAt, size int64, source extent.Digest) (*container.Disk, error) {
	disk, err := open(container.File{Reader: r, Size: size}, source)
	if err != nil {
		return nil, fmt.Errorf("open Parallels file of %d bytes: %w", size, err)
	}
	return disk, nil
}

func open(f container.File, source extent.Digest) (*container.Disk, error) {
	p, err := f.Bytes("header", 0, headerSize)
	if err != nil {
		return nil, err
	}
	h := decodeHeader(p)
	if err := h.check(); err != nil {
		return nil, err
	}
	l := container.Layout{File: f, Size: int64(h.sectors) * sectorSize, Grain: int64(h.cluster) * sectorSize}
	if err := h.useTables(&l); err != nil {
		return nil, err
	}
	n := container.DivideUp(l.Size, l.Grain)
	err = f.Entries("block allocation table", headerSize, n, entrySize, func(i int64, entry []byte) error {
		v := binary.LittleEndian.Uint32(entry)
		switch {
		case v == 0:
			return nil
		case h.flags&flagEmpty != 0:
			return fmt.Errorf("%w: a cluster is allocated, but the disk is marked as empty", container.ErrFormat)
		}
		return l.Add(i, uint64(v)*h.entryUnit())
	})
	if err != nil {
		return nil, err
	}
	return l.Disk(source, nil)
}

// useTables notes where everything but the clusters of the disk stands.
func (h header) useTables(l *container.Layout) error {
	if err := l.Use("header and block allocation table", 0, headerSize+int64(h.entries)*entrySize); err != nil {
		return err
	}
	if h.extension == 0 {
		return nil
	}
	return l.Use("format extension", h.extension*sectorSize, l.Grain)
}

// entryUnit returns what entries of the block allocation table count, in bytes.
func (h header) entryUnit() uint64 {
	if h.magic == magicClusters {
		return uint64(h.cluster) * sectorSize
	}
	return sectorSize
}

// check checks what everything else is computed from.
func (h header) check() error {
	switch {
	case h.magic != magicSectors && h.magic != magicClusters:
		return fmt.Errorf("%w: it starts with %q, want %q or %q", container.ErrFormat, h.magic, magicSectors, magicClusters)
	case h.version != version:
		return fmt.Errorf("%w: version %d, want %d", container.ErrUnsupported, h.version, version)
	case h.inUse == inUse:
		return fmt.Errorf("%w: it was not closed and may be damaged; repair it first: qemu-img check -f parallels -r all FILE", container.ErrUnsupported)
	case h.inUse != closed && h.inUse != 0:
		return fmt.Errorf("%w: its state is %#08x, want %#08x or 0", container.ErrFormat, h.inUse, closed)
	case h.cluster == 0 || h.cluster > maxCluster:
		return fmt.Errorf("%w: clusters of %d sectors, want 1 to %d", container.ErrFormat, h.cluster, maxCluster)
	case h.magic == magicSectors && h.sectors>>32 != 0, h.sectors > maxSectors:
		return fmt.Errorf("%w: a disk of %d sectors", container.ErrFormat, h.sectors)
	case h.extension > maxSectors:
		return fmt.Errorf("%w: a format extension at sector %d", container.ErrFormat, h.extension)
	}
	if need := container.DivideUp(int64(h.sectors), int64(h.cluster)); int64(h.entries) < need {
		return fmt.Errorf("%w: its table has %d entries, the disk of %d sectors needs %d", container.ErrFormat, h.entries, h.sectors, need)
	}
	return nil
}
