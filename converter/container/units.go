package container

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// Decode decodes what a file stores of one unit into dst, which it fills.
type Decode func(dst, stored []byte) error

// unitsKept is how many decoded units are kept for the next reads. Readers come
// back to a unit only while they go through it in small steps.
const unitsKept = 8

// Units is the content of those parts of a file that are compressed, each on its
// own, as one blob: every unit has size bytes of it, in the order in which they
// were added. It is an [extent.Blob], so that an extent map can refer to the
// content of a unit although no file holds it.
//
// It may be read by several goroutines at once, but not while units are added.
type Units struct {
	file   io.ReaderAt
	size   int64 // of the place of a unit, in bytes
	decode Decode
	units  []unit

	mu   sync.Mutex
	kept []*decoded // the one used last is the last
}

// UnitMemory is about what a unit takes, in bytes, while the list of them grows.
const UnitMemory = 72

type unit struct {
	off    int64 // in the file
	stored int   // bytes in the file
	held   int   // bytes of content, at most Units.size
	decode Decode
}

// decoded is the content of a unit, or of one being decoded.
type decoded struct {
	number  int64
	once    sync.Once
	content []byte
	err     error
}

// NewUnits returns the units of a file, none yet. size is the content of each in
// bytes, the same for all but those that are added as shorter.
func NewUnits(file io.ReaderAt, size int64, decode Decode) *Units {
	return &Units{file: file, size: size, decode: decode}
}

// Add adds the unit that is stored in so many bytes at off of the file and has
// held bytes of content. It returns where they stand in the blob.
func (u *Units) Add(off int64, stored, held int) (at int64) {
	return u.AddBy(u.decode, off, stored, held)
}

// AddBy is [Units.Add] of a unit that is decoded in a way of its own.
func (u *Units) AddBy(decode Decode, off int64, stored, held int) (at int64) {
	at = u.Size()
	u.units = append(u.units, unit{off: off, stored: stored, held: held, decode: decode})
	return at
}

// Place returns where in the file the unit stands that has content at a place of
// the blob.
func (u *Units) Place(at int64) int64 { return u.units[at/u.size].off }

// Len returns the number of units.
func (u *Units) Len() int { return len(u.units) }

// Size returns the length of the blob in bytes.
func (u *Units) Size() int64 { return int64(len(u.units)) * u.size }

// Close does nothing. It makes Units an extent.Blob.
func (u *Units) Close() error { return nil }

// ReadAt reads content as [io.ReaderAt] asks. What a unit lacks of its place
// cannot be read.
func (u *Units) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 || off > u.Size() {
		return 0, fmt.Errorf("read at %d of %d bytes: outside", off, u.Size())
	}
	for n < len(p) {
		number, within := off/u.size, off%u.size
		if number >= int64(len(u.units)) {
			return n, io.EOF
		}
		content, err := u.unit(number)
		if err != nil {
			return n, err
		}
		if within >= int64(len(content)) {
			return n, fmt.Errorf("read at %d of unit %d, which has %d bytes: %w", within, number, len(content), io.ErrUnexpectedEOF)
		}
		got := copy(p[n:], content[within:])
		n += got
		off += int64(got)
	}
	return n, nil
}

// unit returns the content of a unit. It is decoded once for all that want it at
// the same time.
func (u *Units) unit(number int64) ([]byte, error) {
	d := u.keep(number)
	d.once.Do(func() { d.content, d.err = u.read(u.units[number]) })
	return d.content, d.err
}

// keep returns the place of a unit among those that are kept.
func (u *Units) keep(number int64) *decoded {
	u.mu.Lock()
	defer u.mu.Unlock()
	i := slices.IndexFunc(u.kept, func(d *decoded) bool { return d.number == number })
	var d *decoded
	switch {
	case i >= 0:
		d = u.kept[i]
		u.kept = slices.Delete(u.kept, i, i+1)
	case len(u.kept) == unitsKept:
		u.kept = slices.Delete(u.kept, 0, 1)
		fallthrough
	default:
		d = &decoded{number: number}
	}
	u.kept = append(u.kept, d)
	return d
}

func (u *Units) read(n unit) ([]byte, error) {
	stored := make([]byte, n.stored)
	if err := ReadFull(u.file, stored, n.off); err != nil {
		return nil, fmt.Errorf("read %d compressed bytes at %d: %w", n.stored, n.off, err)
	}
	content := make([]byte, n.held)
	if err := n.decode(content, stored); err != nil {
		return nil, fmt.Errorf("%w: decompress %d bytes at %d: %w", ErrFormat, n.stored, n.off, err)
	}
	return content, nil
}

// Whole returns what decodes whole units: decode says how far a unit fills dst, and
// one that ends before is an error.
func Whole(decode func(dst, stored []byte) (int, error)) Decode {
	return func(dst, stored []byte) error {
		n, err := decode(dst, stored)
		if err == nil && n < len(dst) {
			err = fmt.Errorf("%d bytes come out, expected %d: %w", n, len(dst), io.ErrUnexpectedEOF)
		}
		return err
	}
}

// Decompress fills dst with what comes out of a decompressor. What comes after is
// not looked at: some formats say in sectors how long a unit is.
func Decompress(dst []byte, r io.Reader) error {
	_, err := io.ReadFull(r, dst)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}
