package qcow

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// Open returns the disk in a qcow file, version 1, as an extent map: r reads the
// file, size is its length in bytes, and source is the digest by which the map
// names it. Clusters that are absent become zero extents, compressed ones are
// read through [container.Disk.Units].
//
// Every offset is checked to lie within the file, and no place may be used
// twice. Encrypted files and those with a backing file are refused with
// container.ErrUnsupported, all else that is wrong with container.ErrFormat.
//
// Memory is bounded by what the file really holds: some 100 bytes for each run
// of clusters, each compressed cluster and each table.
func Open(r io.ReaderAt, size int64, source extent.Digest) (*container.Disk, error) {
	disk, err := open(container.File{Reader: r, Size: size}, source)
	if err != nil {
		return nil, fmt.Errorf("open qcow file of %d bytes: %w", size, err)
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
	// QEMU counts in whole sectors.
	l := container.Layout{File: f, Size: int64(h.size / sectorSize * sectorSize), Grain: 1 << h.clusterBits}
	if err := l.Use("header", 0, headerSize); err != nil {
		return nil, err
	}
	tables := container.TwoLevels{Order: binary.BigEndian, Entries: 1 << h.l2Bits, Grain: l.Grain}
	err = tables.Read(&l, h.l1, 1, func(number int64, entry uint64) error {
		if entry&flagCompressed == 0 {
			return l.Add(number, entry)
		}
		offsetBits := 63 - h.clusterBits
		stored := int64(entry&^flagCompressed) >> offsetBits
		return l.AddPacked(number, entry&(1<<offsetBits-1), stored)
	})
	if err != nil {
		return nil, err
	}
	return l.Disk(source, inflate)
}

// inflate is a [container.Decode]. The disk may end within its last cluster, of
// which the rest is not decoded.
func inflate(dst, stored []byte) error {
	return container.Decompress(dst, flate.NewReader(bytes.NewReader(stored)))
}

// check checks what everything else is computed from.
func (h header) check() error {
	switch {
	case h.magic != magic:
		return fmt.Errorf("%w: it starts with %#08x, want %#08x", container.ErrFormat, h.magic, magic)
	case h.version != version:
		return fmt.Errorf("%w: version %d, want %d; later versions are the format qcow2", container.ErrUnsupported, h.version, version)
	case h.backing != 0:
		return fmt.Errorf("%w: it has a backing file; make an image that stands alone first: qemu-img convert -O qcow2 IN OUT", container.ErrUnsupported)
	case h.crypt != cryptNone:
		return fmt.Errorf("%w: it is encrypted (method %d; %d is AES); decrypt it first with qemu-img convert", container.ErrUnsupported, h.crypt, cryptAES)
	case h.clusterBits < minClusterBits || h.clusterBits > maxClusterBits:
		return fmt.Errorf("%w: clusters of 2^%d bytes, want 2^%d to 2^%d", container.ErrFormat, h.clusterBits, minClusterBits, maxClusterBits)
	case h.l2Bits < minL2Bits || h.l2Bits > maxL2Bits:
		return fmt.Errorf("%w: L2 tables of 2^%d entries, want 2^%d to 2^%d", container.ErrFormat, h.l2Bits, minL2Bits, maxL2Bits)
	case h.size > maxL1Entries<<(h.clusterBits+h.l2Bits):
		return fmt.Errorf("%w: a disk of %d bytes, want at most %d entries in the L1 table", container.ErrFormat, h.size, maxL1Entries)
	}
	return nil
}
