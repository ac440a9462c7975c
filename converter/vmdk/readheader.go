package vmdk

import (
	"fmt"
	"math/bits"

	"github.com/cloudlets/cloudlets/converter/container"
)

// readHeader reads the header of a hosted sparse extent and checks all that does
// not depend on where the grain directory is.
func readHeader(f container.File) (header, error) {
	p, err := f.Bytes("header", 0, sectorSize)
	if err != nil {
		return header{}, err
	}
	h := decodeHeader(p)
	if h.version == 0 || h.version > maxVersion {
		return h, fmt.Errorf("%w: version %d, want 1 to %d", container.ErrUnsupported, h.version, maxVersion)
	}
	if got := string(p[lineEndsAt : lineEndsAt+len(lineEnds)]); h.flags&flagLineEnds != 0 && got != lineEnds {
		return h, fmt.Errorf("%w: its line ends are %q, want %q; it was transferred as text", container.ErrFormat, got, lineEnds)
	}
	if err := h.checkCompression(); err != nil {
		return h, err
	}
	return h, h.checkSizes()
}

// checkCompression refuses features that change how grains are stored, unless
// they are known.
func (h header) checkCompression() error {
	if unknown := h.flags & incompatibleFlags &^ (flagCompressed | flagMarkers); unknown != 0 {
		return fmt.Errorf("%w: unknown flags %#x", container.ErrUnsupported, unknown)
	}
	switch {
	case !h.compressed() && h.compression == compressionNone:
		return nil
	case h.compressed() && h.compression == compressionDeflate && h.flags&flagMarkers != 0:
		return nil
	}
	return fmt.Errorf("%w: flags %#x with compression %d, want compressed grains with markers and compression %d, or neither",
		container.ErrUnsupported, h.flags, h.compression, compressionDeflate)
}

func (h header) compressed() bool { return h.flags&flagCompressed != 0 }

// checkSizes checks the sizes that everything else is computed from.
func (h header) checkSizes() error {
	maxGrain := uint64(maxGrain)
	if h.compressed() {
		maxGrain = maxPackedGrain
	}
	switch {
	case h.capacity > maxCapacity:
		return fmt.Errorf("%w: a disk of %d sectors, want at most %d", container.ErrFormat, h.capacity, uint64(maxCapacity))
	case h.overhead > maxCapacity:
		return fmt.Errorf("%w: its grains start at sector %d, want at most %d", container.ErrFormat, h.overhead, uint64(maxCapacity))
	case bits.OnesCount64(h.grain) != 1 || h.grain > maxGrain:
		return fmt.Errorf("%w: grains of %d sectors, want a power of two of at most %d", container.ErrFormat, h.grain, maxGrain)
	case h.tableEntries == 0 || h.tableEntries > maxTableEntries:
		return fmt.Errorf("%w: grain tables of %d entries, want 1 to %d", container.ErrFormat, h.tableEntries, maxTableEntries)
	case h.directoryEntries() > maxDirectory:
		return fmt.Errorf("%w: a grain directory of %d entries, want at most %d", container.ErrFormat, h.directoryEntries(), maxDirectory)
	}
	return nil
}

// directoryEntries returns how many grain tables the disk has.
func (h header) directoryEntries() int64 {
	return container.DivideUp(int64(h.capacity), int64(h.grain)*int64(h.tableEntries))
}
