package container

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/cloudlets/cloudlets/extent"
)

// Layout is where in a foreign file the grains of its disk stand. A reader fills
// it from the file's tables; [Layout.Disk] checks it as a whole.
type Layout struct {
	// File is the file.
	File File
	// Size is the size of the disk in bytes.
	Size int64
	// Grain is the size of a grain in bytes. The disk may end within its last one.
	Grain int64

	used   Ranges
	places []place
	held   int64 // bytes of the file that all of it takes
}

// place is where some of the disk stands.
type place struct {
	guest  int64 // offset on the disk
	host   int64 // offset in the file
	bytes  int64 // on the disk; more than a grain's where neighbours are joined
	stored int64 // bytes in the file, if it is compressed: such are never joined
}

// Use notes that n bytes at off of the file hold something else: a table.
func (l *Layout) Use(what string, off uint64, n int64) error {
	if err := l.File.Contains(what, off, n); err != nil {
		return err
	}
	if err := l.hold(what, int64(off), n); err != nil {
		return err
	}
	l.used.Add(what, int64(off), n)
	return nil
}

// hold counts n bytes of the file that something takes at off. Things that take
// more than all of it overlap somewhere. That is found out before more of them are
// kept: an entry of a table is far smaller than what is kept of it.
func (l *Layout) hold(what string, off, n int64) error {
	if l.held += n; l.held > l.File.Size {
		return fmt.Errorf("%w: up to the %s at %d, its tables and grains take more than the file of %d bytes has", ErrFormat, what, off, l.File.Size)
	}
	return nil
}

// CheckTables refuses tables that overlap. A reader asks for it before it reads
// them, so that none is read twice.
func (l *Layout) CheckTables() error { return l.used.Check() }

// Add notes that a grain of the disk stands at off as it is. As much of it must
// lie in the file as the disk has.
func (l *Layout) Add(number int64, off uint64) error {
	p, err := l.place(number)
	if err != nil {
		return err
	}
	if err := l.File.Contains("grain", off, p.bytes); err != nil {
		return fmt.Errorf("grain at %d of the disk: %w", p.guest, err)
	}
	p.host = int64(off)
	return l.take(p)
}

// AddPacked notes that a grain of the disk stands at off in so many compressed
// bytes. No compression doubles its content.
func (l *Layout) AddPacked(number int64, off uint64, stored int64) error {
	p, err := l.place(number)
	if err != nil {
		return err
	}
	if stored <= 0 || stored > 2*l.Grain {
		return fmt.Errorf("%w: the grain at %d of the disk has %d bytes and is compressed to %d", ErrFormat, p.guest, l.Grain, stored)
	}
	if err := l.File.Contains("compressed grain", off, stored); err != nil {
		return fmt.Errorf("grain at %d of the disk: %w", p.guest, err)
	}
	p.host, p.stored = int64(off), stored
	return l.take(p)
}

// take keeps a place, joining it to the one it continues.
func (l *Layout) take(p place) error {
	if err := l.hold("grain", p.host, p.held()); err != nil {
		return err
	}
	if last := len(l.places) - 1; last >= 0 && l.places[last].continuedBy(p) {
		l.places[last].bytes += p.bytes
		return nil
	}
	l.places = append(l.places, p)
	return CheckPieces(len(l.places))
}

// place returns the place of a grain on the disk.
func (l *Layout) place(number int64) (place, error) {
	if number < 0 || number >= DivideUp(l.Size, l.Grain) {
		return place{}, fmt.Errorf("%w: grain %d of a disk that has %d", ErrFormat, number, DivideUp(l.Size, l.Grain))
	}
	guest := number * l.Grain
	return place{guest: guest, bytes: min(l.Grain, l.Size-guest)}, nil
}

// continuedBy reports whether next follows p on the disk and in the file.
func (p place) continuedBy(next place) bool {
	return p.stored == 0 && next.stored == 0 && p.guest+p.bytes == next.guest && p.host+p.bytes == next.host
}

// Disk returns the disk: what the layout has no place for is zero. source names
// the file; decode decodes a grain, nil where none is compressed. A place of the
// disk or of the file that is used twice is an error.
func (l *Layout) Disk(source extent.Digest, decode Decode) (*Disk, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	var units *Units
	if decode != nil {
		units = NewUnits(l.File.Reader, l.Grain, decode)
	}
	var b extent.Builder
	b.Grow(2*len(l.places)+1, 0) // each with zeros before it
	for _, p := range l.places {
		b.ZeroTo(p.guest)
		if p.stored > 0 {
			b.Source(Unpacked(source), units.Add(p.host, int(p.stored), int(p.bytes)), p.bytes)
		} else {
			b.Source(source, p.host, p.bytes)
		}
	}
	b.ZeroTo(l.Size)
	m, err := b.Build()
	if err != nil {
		return nil, err
	}
	return &Disk{Map: m, Units: units}, nil
}

// check puts the places in the order of the disk. It leaves those in the file as
// they are.
func (l *Layout) check() error {
	used := append(make(Ranges, 0, len(l.used)+len(l.places)), l.used...)
	for _, p := range l.places {
		used = append(used, Range{What: "grain", Start: p.host, End: p.host + p.held()})
	}
	if err := used.Check(); err != nil {
		return err
	}
	slices.SortStableFunc(l.places, func(a, b place) int { return cmp.Compare(a.guest, b.guest) })
	for i := 1; i < len(l.places); i++ {
		if before := l.places[i-1]; l.places[i].guest < before.guest+before.bytes {
			return fmt.Errorf("%w: two grains for the place at %d of the disk", ErrFormat, l.places[i].guest)
		}
	}
	return nil
}

// held returns how many bytes of the file a place takes.
func (p place) held() int64 {
	if p.stored > 0 {
		return p.stored
	}
	return p.bytes
}
