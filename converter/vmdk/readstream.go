package vmdk

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
)

// footerSectors is what ends a streamOptimized file: the footer's marker, the
// footer and the end-of-stream marker.
const footerSectors = 3

// readStream reads a file whose header leaves the place of the grain directory
// to the footer. Where there is no footer, the markers say where grains are: a
// file is written from its beginning to its end.
func (r *reader) readStream() error {
	footer, ok, err := r.readFooter()
	if err != nil {
		return err
	}
	if !ok {
		return r.readMarkers()
	}
	if footer.capacity != r.capacity || footer.grain != r.grain || footer.tableEntries != r.tableEntries ||
		footer.flags != r.flags || footer.compression != r.compression {
		return fmt.Errorf("%w: its footer and its header describe two disks", container.ErrFormat)
	}
	if err := r.Use("footer", uint64(r.File.Size)-footerSectors*sectorSize, footerSectors*sectorSize); err != nil {
		return err
	}
	return r.readDirectory(footer.directoryAt)
}

// readFooter reads the last sectors. ok says whether there is a footer.
func (r *reader) readFooter() (footer header, ok bool, err error) {
	if r.File.Size < footerSectors*sectorSize {
		return footer, false, nil
	}
	p, err := r.File.Bytes("footer", uint64(r.File.Size)-footerSectors*sectorSize, footerSectors*sectorSize)
	if err != nil {
		return footer, false, err
	}
	first, middle, last := decodeMarker(p), p[sectorSize:2*sectorSize], decodeMarker(p[2*sectorSize:])
	if !first.is(markerFooter) || !last.is(markerEndOfStream) || !bytes.HasPrefix(middle, []byte(headerMagic)) {
		return footer, false, nil
	}
	return decodeHeader(middle), true, nil
}

// marker is what stands between the parts of a streamOptimized file.
type marker struct {
	value uint64
	size  uint32
	kind  uint32 // where size is 0
}

func decodeMarker(p []byte) marker {
	le := binary.LittleEndian
	return marker{value: le.Uint64(p), size: le.Uint32(p[8:]), kind: le.Uint32(p[12:])}
}

// is reports whether a marker is one of a kind, and not a grain.
func (m marker) is(kind uint32) bool { return m.size == 0 && m.kind == kind }

// readMarkers walks over all that follows the header.
func (r *reader) readMarkers() error {
	for off := int64(r.overhead) * sectorSize; ; {
		p, err := r.File.Bytes("marker", uint64(off), markerHeaderSize)
		if err != nil {
			return fmt.Errorf("it has no end-of-stream marker; fetch the whole file: %w", err)
		}
		m := decodeMarker(p)
		if m.is(markerEndOfStream) {
			return nil
		}
		n, err := r.readMarker(m, off)
		if err != nil {
			return fmt.Errorf("marker at %d: %w", off, err)
		}
		off += container.AlignUp(n, sectorSize)
	}
}

// readMarker reads what a marker at an offset stands before, and returns the
// length in bytes of both.
func (r *reader) readMarker(m marker, off int64) (n int64, err error) {
	if m.size > 0 {
		if m.value%r.grain != 0 || m.value >= r.capacity {
			return 0, fmt.Errorf("%w: a grain for sector %d of a disk of %d", container.ErrFormat, m.value, r.capacity)
		}
		return grainHeaderSize + int64(m.size), r.AddPacked(int64(m.value/r.grain), uint64(off)+grainHeaderSize, int64(m.size))
	}
	if m.kind != markerTable && m.kind != markerDirectory && m.kind != markerFooter {
		return 0, fmt.Errorf("%w: of unknown type %d", container.ErrFormat, m.kind)
	}
	if err := r.File.Contains("metadata", uint64(off), sectorSize); err != nil {
		return 0, err
	}
	if m.value > uint64(r.File.Size-off)/sectorSize-1 {
		return 0, fmt.Errorf("%w: %d sectors of metadata end outside the file", container.ErrFormat, m.value)
	}
	return (1 + int64(m.value)) * sectorSize, nil
}
