package qcow2

import (
	"encoding/binary"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
)

// readHeader reads and checks the header and its extensions.
func (r *reader) readHeader() error {
	h := make([]byte, maxHeaderLength)
	n := min(maxHeaderLength, r.file.Size)
	if n < headerLengthV2 {
		return fmt.Errorf("%w: want at least %d bytes", container.ErrFormat, headerLengthV2)
	}
	p, err := r.file.Bytes("header", 0, n)
	if err != nil {
		return err
	}
	copy(h, p)
	be := binary.BigEndian
	if got := be.Uint32(h[0:]); got != magic {
		return fmt.Errorf("%w: it starts with %#08x, want %#08x", container.ErrFormat, got, magic)
	}
	r.version = be.Uint32(h[4:])
	if r.version != version2 && r.version != version3 {
		return fmt.Errorf("%w: version %d, want %d or %d", container.ErrUnsupported, r.version, version2, version3)
	}
	if err := r.decodeGeometry(h); err != nil {
		return err
	}
	if method := be.Uint32(h[32:]); method != 0 {
		return fmt.Errorf("%w: it is encrypted (method %d); decrypt it first with qemu-img convert", container.ErrUnsupported, method)
	}
	length := uint32(headerLengthV2)
	if r.version >= version3 {
		if length, err = r.checkVersion3(h); err != nil {
			return err
		}
	}
	if err := r.checkExtensions(int64(length), be.Uint64(h[backingOffset:])); err != nil {
		return err
	}
	return r.readBacking(h)
}

// decodeGeometry reads the fields of all versions that say where things are.
func (r *reader) decodeGeometry(h []byte) error {
	be := binary.BigEndian
	r.clusterBits = be.Uint32(h[20:])
	if r.clusterBits < minClusterBits || r.clusterBits > maxClusterBits {
		return fmt.Errorf("%w: clusters of 2^%d bytes, want 2^%d to 2^%d", container.ErrFormat, r.clusterBits, minClusterBits, maxClusterBits)
	}
	r.clusterSize = 1 << r.clusterBits
	size := be.Uint64(h[24:])
	if size > maxVirtualSize {
		return fmt.Errorf("%w: a disk of %d bytes, want at most %d", container.ErrFormat, size, int64(maxVirtualSize))
	}
	r.virtualSize = int64(size)
	r.l1Entries = int64(be.Uint32(h[36:]))
	if r.l1Entries*entrySize > maxL1Size {
		return fmt.Errorf("%w: an L1 table of %d bytes, want at most %d", container.ErrFormat, r.l1Entries*entrySize, maxL1Size)
	}
	r.l1Offset = be.Uint64(h[40:])
	start, length := be.Uint64(h[48:]), int64(be.Uint32(h[56:]))<<r.clusterBits
	if length > maxRefcountTableSize {
		return fmt.Errorf("%w: a refcount table of %d bytes, want at most %d", container.ErrFormat, length, maxRefcountTableSize)
	}
	if err := r.file.Contains("refcount table", start, length); err != nil {
		return err
	}
	r.refcountTable = container.Range{Start: int64(start), End: int64(start) + length}
	return nil
}

// readBacking finds the parent of a file that has one, by its name.
func (r *reader) readBacking(h []byte) error {
	off, length := binary.BigEndian.Uint64(h[backingOffset:]), int64(binary.BigEndian.Uint32(h[backingLength:]))
	if off == 0 {
		return nil
	}
	if length < 1 || length > min(maxBackingName, r.clusterSize) || off > uint64(r.clusterSize-length) {
		return fmt.Errorf("%w: the name of its backing file has %d bytes at %d, want 1 to %d within the first cluster",
			container.ErrFormat, length, off, maxBackingName)
	}
	name, err := r.file.Bytes("name of the backing file", off, length)
	if err != nil {
		return err
	}
	parent, err := r.find.Find(string(name))
	r.parent = &parent
	return err
}

// checkVersion3 checks the fields that version 3 added and returns the length of
// the header.
func (r *reader) checkVersion3(h []byte) (length uint32, err error) {
	be := binary.BigEndian
	length = be.Uint32(h[100:])
	if length < headerLengthV3 || length%8 != 0 || int64(length) > min(r.clusterSize, r.file.Size) {
		return 0, fmt.Errorf("%w: a header of %d bytes, want a multiple of 8 from %d to the cluster size, %d",
			container.ErrFormat, length, headerLengthV3, r.clusterSize)
	}
	if order := be.Uint32(h[96:]); order > maxRefcountBits {
		return 0, fmt.Errorf("%w: refcounts of 2^%d bits, want at most 2^%d", container.ErrFormat, order, maxRefcountBits)
	}
	features := be.Uint64(h[72:])
	if features&incompatibleCompression != 0 && length >= maxHeaderLength {
		r.compression = Compression(h[104])
	}
	r.extended = features&incompatibleExtendedL2 != 0
	if r.extended && r.clusterBits < minExtendedClusterBits {
		return 0, fmt.Errorf("%w: extended L2 entries with clusters of 2^%d bytes, want at least 2^%d", container.ErrFormat, r.clusterBits, minExtendedClusterBits)
	}
	return length, checkFeatures(features)
}

// checkFeatures refuses incompatible features. A dirty bit means stale
// refcounts, which a reader does not use.
func checkFeatures(bits uint64) error {
	switch {
	case bits&incompatibleCorrupt != 0:
		return fmt.Errorf("%w: it is marked as corrupt; repair it first: qemu-img check -r all FILE", container.ErrUnsupported)
	case bits&incompatibleDataFile != 0:
		return fmt.Errorf("%w: its data is in another file; make an image that stands alone first: qemu-img convert -O qcow2 IN OUT", container.ErrUnsupported)
	}
	if unknown := bits &^ (incompatibleDirty | incompatibleCompression | incompatibleExtendedL2); unknown != 0 {
		return fmt.Errorf("%w: unknown incompatible features %#x", container.ErrUnsupported, unknown)
	}
	return nil
}

// checkExtensions walks the header extensions, which lie in the first cluster, up
// to the name of the backing file. Unknown ones are skipped, as the specification
// asks.
func (r *reader) checkExtensions(off int64, backing uint64) error {
	end := min(r.clusterSize, r.file.Size)
	if uint64(off) <= backing && backing < uint64(end) {
		end = int64(backing)
	}
	area, err := r.file.Bytes("first cluster", 0, end)
	if err != nil {
		return err
	}
	for rest := area[off:]; len(rest) >= extensionHeaderSize; {
		kind := binary.BigEndian.Uint32(rest[0:])
		length := int64(binary.BigEndian.Uint32(rest[4:]))
		switch kind {
		case extensionEnd:
			return nil
		case extensionDataFile:
			return fmt.Errorf("%w: its header names an external data file; make an image that stands alone first: qemu-img convert -O qcow2 IN OUT", container.ErrUnsupported)
		case extensionEncryption:
			return fmt.Errorf("%w: it has an encryption header; decrypt it first with qemu-img convert", container.ErrUnsupported)
		}
		length = container.AlignUp(length, 8) // padded
		if length > int64(len(rest)-extensionHeaderSize) {
			return fmt.Errorf("%w: header extension %#08x of %d bytes ends outside the first cluster", container.ErrFormat, kind, length)
		}
		rest = rest[extensionHeaderSize+length:]
	}
	return nil
}
