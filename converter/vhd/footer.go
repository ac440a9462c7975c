package vhd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/cloudlets/cloudlets/converter/container"
)

// footer is what a footer says.
type footer struct {
	diskType   uint32
	dataOffset uint64 // of the header
	creator    string
	revision   uint32
	geometry   geometry
	current    uint64 // bytes
	id         [16]byte
}

// encode returns the footer. No clock is read: the time stamp is that of the
// epoch of the format.
func (f footer) encode() []byte {
	be := binary.BigEndian
	p := make([]byte, footerSize)
	copy(p, footerCookie)
	be.PutUint32(p[footerFeatures:], featuresReserved)
	be.PutUint32(p[footerVersion:], formatVersion)
	be.PutUint64(p[footerDataOffset:], f.dataOffset)
	copy(p[footerCreator:], f.creator)
	be.PutUint32(p[footerCreatorRev:], f.revision)
	copy(p[footerCreatorOS:], creatorOSWindows)
	be.PutUint64(p[footerOriginal:], f.current)
	be.PutUint64(p[footerCurrent:], f.current)
	be.PutUint16(p[footerGeometry:], f.geometry.cylinders)
	p[footerGeometry+2] = f.geometry.heads
	p[footerGeometry+3] = f.geometry.sectors
	be.PutUint32(p[footerType:], f.diskType)
	copy(p[footerID:], f.id[:])
	be.PutUint32(p[footerChecksum:], checksum(p, footerChecksum))
	return p
}

// decodeFooter reads a footer, whole or old.
func decodeFooter(p []byte) (f footer, err error) {
	be := binary.BigEndian
	if !isFooter(p) {
		return f, fmt.Errorf("%w: a footer begins with %q, this with %q", container.ErrFormat, footerCookie, p[:len(footerCookie)])
	}
	if got, want := be.Uint32(p[footerChecksum:]), checksum(p, footerChecksum); got != want {
		return f, fmt.Errorf("%w: the footer's checksum is %#08x, its bytes give %#08x", container.ErrFormat, got, want)
	}
	if v := be.Uint32(p[footerVersion:]); v>>16 != formatVersion>>16 {
		return f, fmt.Errorf("%w: version %d.%d of the format; want 1", container.ErrUnsupported, v>>16, v&0xffff)
	}
	f = footer{
		diskType:   be.Uint32(p[footerType:]),
		dataOffset: be.Uint64(p[footerDataOffset:]),
		creator:    string(p[footerCreator : footerCreator+4]),
		revision:   be.Uint32(p[footerCreatorRev:]),
		geometry:   geometry{be.Uint16(p[footerGeometry:]), p[footerGeometry+2], p[footerGeometry+3]},
		current:    be.Uint64(p[footerCurrent:]),
		id:         [16]byte(p[footerID:]),
	}
	if f.diskType < typeFixed || f.diskType > typeDifferencing {
		return f, fmt.Errorf("%w: disk type %d; want 2 (fixed), 3 (dynamic) or 4 (differencing)", container.ErrUnsupported, f.diskType)
	}
	if f.size() > maxSize || f.size()%sectorSize != 0 {
		return f, fmt.Errorf("%w: a disk of %d bytes; want a multiple of %d, at most %d", container.ErrFormat, f.size(), sectorSize, int64(maxSize))
	}
	return f, nil
}

func isFooter(p []byte) bool { return strings.HasPrefix(string(p[:len(footerCookie)]), footerCookie) }

// size returns the length of the disk in bytes. Virtual PC shows its guests what
// the geometry addresses and notes a size that may be larger; so does QEMU where
// it was not asked to force the size. All others mean the size that they note.
func (f footer) size() uint64 {
	switch f.creator {
	case creatorVirtualPC, creatorVirtualServer, creatorQEMU:
		if n := uint64(f.geometry.size()); n != maxGeometry*sectorSize {
			return min(n, f.current)
		}
	}
	return f.current
}

// readFooter finds the footer. The one at the end counts; a dynamic file has a
// copy at the start, in case the end is lost.
func (r *reader) readFooter() error {
	last, lastSize, lastErr := r.footerAtEnd()
	head, err := r.file.Bytes("start", 0, footerSize)
	if err != nil {
		// Only a file with the old footer is so small.
		head = make([]byte, footerSize)
	}
	r.footer, r.end = last, r.file.Size-lastSize
	switch {
	case lastErr != nil && isFooter(head):
		return r.useFirstFooter(head, lastErr)
	case lastErr != nil:
		return lastErr
	case last.diskType == typeFixed && isFooter(head) && r.end > 0:
		return fmt.Errorf("%w: the footer is that of a fixed disk, whose first bytes look like a footer too: "+
			"two programs would see two disks", container.ErrFormat)
	case last.diskType == typeFixed:
		return nil
	}
	if first, err := decodeFooter(head); err == nil && first != last {
		return fmt.Errorf("%w: the footers at the start and at the end differ: two programs would see two disks", container.ErrFormat)
	}
	return nil
}

// useFirstFooter takes the copy at the start of a file whose end is not a footer.
func (r *reader) useFirstFooter(head []byte, lastErr error) error {
	first, err := decodeFooter(head)
	if err != nil {
		return errors.Join(lastErr, fmt.Errorf("the copy at the start: %w", err))
	}
	if first.diskType == typeFixed {
		return fmt.Errorf("a fixed disk ends with its footer: %w", lastErr)
	}
	r.footer, r.end = first, r.file.Size
	return nil
}

// footerAtEnd returns the footer at the end of the file and its length.
func (r *reader) footerAtEnd() (f footer, size int64, err error) {
	for _, size := range []int64{footerSize, oldFooterSize} {
		if r.file.Size < size {
			continue
		}
		p, err := r.file.Bytes("footer", uint64(r.file.Size-size), size)
		if err != nil {
			return f, 0, err
		}
		if isFooter(p) {
			f, err = decodeFooter(p)
			return f, size, err
		}
	}
	return f, 0, fmt.Errorf("%w: no footer at the end, which begins with %q: is the file whole?", container.ErrFormat, footerCookie)
}
