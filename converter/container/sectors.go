package container

import (
	"fmt"

	"github.com/cloudlets/cloudlets/extent"
)

// MaxPieces bounds the pieces in which a disk stands in a file, which a reader
// remembers one by one: a few bytes of a hostile file make one. It is what a disk
// of 256 GiB has in clusters of 64 KiB of which no two are neighbours, and costs
// some 500 MB, or 800 if they are compressed.
const MaxPieces = 4 << 20

// CheckPieces refuses a disk of more than [MaxPieces] pieces with ErrUnsupported.
func CheckPieces(n int) error {
	if n > MaxPieces {
		return fmt.Errorf("%w: the disk is in more than %d pieces; make larger ones of them first: qemu-img convert -O raw IN OUT", ErrUnsupported, MaxPieces)
	}
	return nil
}

// Sectors builds, in order, a disk of which a file holds some sectors and leaves
// the others to its parent.
type Sectors struct {
	// Source names the file.
	Source extent.Digest
	// File is the file as it is to be read, where that is not byte for byte.
	File *extent.Map
	// Parent has what the file leaves out; without one that is zero.
	Parent *Parent

	disk   extent.Builder
	pieces int
}

// Hold appends n bytes that stand at off of the file.
func (s *Sectors) Hold(off, n int64) {
	if s.File == nil {
		s.disk.Source(s.Source, off, n)
		return
	}
	s.disk.Slice(s.File, off, n)
}

// Zero appends n bytes that are zero, whatever the parent has.
func (s *Sectors) Zero(n int64) { s.disk.Zero(n) }

// Leave appends n bytes that the file does not hold.
func (s *Sectors) Leave(n int64) {
	if s.Parent == nil {
		s.disk.Zero(n)
		return
	}
	s.Parent.AppendTo(&s.disk, s.disk.Size(), n)
}

// Choose appends n bytes that have their place at off of the file. Those sectors
// of so many bytes that have a bit in the bitmap are held, the others left. A
// disk in too many pieces is refused as by [CheckPieces].
func (s *Sectors) Choose(bitmap Bitmap, sector, off, n int64) error {
	for at := int64(0); at < n; {
		run := min(n-at, bitmap.Same(at/sector)*sector)
		if bitmap.At(at / sector) {
			s.Hold(off+at, run)
		} else {
			s.Leave(run)
		}
		at += run
		s.pieces++
	}
	return CheckPieces(s.pieces)
}

// Build returns the disk.
func (s *Sectors) Build() (*extent.Map, error) { return s.disk.Build() }
