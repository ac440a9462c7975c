package tarball

import (
	"bytes"
	"math"
	"strconv"
	"strings"
)

// A sparse file is stored as a list of data fragments and, packed one after
// another, their bytes. There are four ways to store the list (GNU tar manual,
// "Storing Sparse Files"):
//
//   - old GNU: in a header of type 'S' and extension blocks after it;
//   - pax 0.0: in records GNU.sparse.offset and GNU.sparse.numbytes, in turn;
//   - pax 0.1: in one record GNU.sparse.map;
//   - pax 1.0: as decimal lines in the first blocks of the content.

// Old GNU headers: fragments of 24 bytes (offset, length), a flag that says
// whether extension blocks follow, and the size of the file with its holes.
var (
	fieldSparse         = field{386, 4 * sparseEntrySize}
	fieldSparseExtended = field{482, 1}
	fieldRealSize       = field{483, 12}

	fieldExtension         = field{0, 21 * sparseEntrySize}
	fieldExtensionExtended = field{504, 1}
)

const sparseEntrySize = 24

// paxSparse is what pax records say about a sparse file.
type paxSparse struct {
	present      bool
	major, minor optional
	name         string
	size         optional
	hasMap       bool
	list         sparseList
	half         optional // pax 0.0: an offset still without its length
}

func (s *paxSparse) set(key, value string) error {
	s.present = true
	switch key {
	case "major":
		return s.major.parse(keySparse+key, value)
	case "minor":
		return s.minor.parse(keySparse+key, value)
	case "size", "realsize":
		return s.size.parse(keySparse+key, value)
	case "name":
		s.name = value
	case "offset":
		if s.half.set {
			return invalid("sparse map: two offsets without a length between")
		}
		return s.half.parse(keySparse+key, value)
	case "numbytes":
		return s.setLength(value)
	case "map":
		return s.setMap(value)
	}
	return nil
}

func (s *paxSparse) setLength(value string) error {
	var n optional
	if err := n.parse("GNU.sparse.numbytes", value); err != nil {
		return err
	}
	if !n.set || !s.half.set {
		return invalid("sparse map: a length without an offset")
	}
	start := s.half.value
	s.half = optional{}
	s.hasMap = true
	return s.list.add(start, n.value)
}

func (s *paxSparse) setMap(value string) error {
	s.hasMap, s.list = true, sparseList{}
	if value == "" {
		return nil
	}
	rest, more := value, true
	for more {
		var start, length string
		var ok bool
		if start, rest, ok = strings.Cut(rest, ","); !ok {
			return invalid("sparse map: an odd number of numbers")
		}
		length, rest, more = strings.Cut(rest, ",")
		a, err := strconv.ParseInt(start, 10, 64)
		b, err2 := strconv.ParseInt(length, 10, 64)
		if err != nil || err2 != nil {
			return invalid("sparse map: \"%.40s,%.40s\" are not two numbers", start, length)
		}
		if err := s.list.add(a, b); err != nil {
			return err
		}
	}
	return nil
}

// version says how the map is stored.
func (s *paxSparse) version() (major, minor int64, err error) {
	major, minor = s.major.value, s.minor.value
	if !s.major.set && !s.minor.set {
		return 0, 1, s.checkMap()
	}
	switch {
	case major == 1 && minor == 0:
		return major, minor, nil
	case major == 0 && minor <= 1:
		return major, minor, s.checkMap()
	}
	return 0, 0, invalid("sparse file of version %d.%d, known are 0.0, 0.1 and 1.0", major, minor)
}

func (s *paxSparse) checkMap() error {
	if !s.hasMap || s.half.set {
		return invalid("a sparse file without a complete map")
	}
	return nil
}

// sparseList collects the fragments of a sparse file, whose offsets in the tar
// are not known yet.
type sparseList struct {
	fragments []Fragment
	packed    int64 // bytes of data so far
	count     int   // fragments so far, empty ones included
}

// add appends a fragment. Fragments come in order. All but the last must be
// whole blocks: some programs pad each fragment to blocks, and others do not.
func (l *sparseList) add(start, length int64) error {
	if l.count++; l.count > maxSparse {
		return invalid("sparse map: more than %d fragments", maxSparse)
	}
	if start < 0 || length < 0 || start > math.MaxInt64-length {
		return invalid("sparse map: %d bytes at %d", length, start)
	}
	if length == 0 {
		return nil
	}
	if n := len(l.fragments); n > 0 {
		last := l.fragments[n-1]
		if start < last.Start+last.Length {
			return invalid("sparse map: the fragment at %d overlaps or comes before the one at %d", start, last.Start)
		}
		if last.Length%BlockSize != 0 {
			return invalid("sparse map: the fragment at %d is %d bytes long, not whole blocks of %d", last.Start, last.Length, BlockSize)
		}
	}
	l.fragments = append(l.fragments, Fragment{Start: start, Length: length})
	l.packed += length // cannot overflow: the fragments do not overlap
	return nil
}

// place gives the fragments their offsets in the tar, where their packed bytes
// start at off, and checks them against the sizes the headers state.
func (l *sparseList) place(off, packed, size int64) ([]Fragment, error) {
	if l.packed != packed {
		return nil, invalid("sparse map: fragments of %d bytes, but %d bytes of data", l.packed, packed)
	}
	if n := len(l.fragments); n > 0 {
		if end := l.fragments[n-1].Start + l.fragments[n-1].Length; end > size {
			return nil, invalid("sparse map: a fragment ends at %d in a file of %d bytes", end, size)
		}
	}
	for i := range l.fragments {
		l.fragments[i].Offset = off
		off += l.fragments[i].Length
	}
	return l.fragments, nil
}

// addHeader appends the fragments that a field of a header or extension block
// lists. An entry whose bytes are all NUL or a length of zero ends the list.
func (l *sparseList) addHeader(b block, f field) error {
	for off := f.off; off < f.off+f.len; off += sparseEntrySize {
		if b[off] == 0 {
			return nil
		}
		start, err := b.number(field{off, 12}, "sparse offset")
		if err != nil {
			return err
		}
		length, err := b.number(field{off + 12, 12}, "sparse length")
		if err != nil {
			return err
		}
		if err := l.add(start, length); err != nil {
			return err
		}
	}
	return nil
}

// sparseLines reads the map of pax 1.0 from the blocks that take returns: the
// number of fragments, then an offset and a length for each, one a line.
type sparseLines struct {
	take func() (block, error)
	rest []byte
}

// maxDigits is the length of the longest number a map can hold, in decimal.
const maxDigits = 19

func (s *sparseLines) number() (int64, error) {
	var digits []byte
	for {
		i := bytes.IndexByte(s.rest, '\n')
		if i >= 0 {
			digits = append(digits, s.rest[:i]...)
			s.rest = s.rest[i+1:]
			break
		}
		digits = append(digits, s.rest...)
		if len(digits) > maxDigits {
			break
		}
		b, err := s.take()
		if err != nil {
			return 0, err
		}
		s.rest = b
	}
	n, err := strconv.ParseUint(string(digits), 10, 63)
	if err != nil {
		return 0, invalid("sparse map: %.40q is not a number", digits)
	}
	return int64(n), nil
}

func (s *sparseLines) list() (sparseList, error) {
	var l sparseList
	count, err := s.number()
	if err != nil {
		return l, err
	}
	if count > maxSparse {
		return l, invalid("sparse map: %d fragments, the limit is %d", count, maxSparse)
	}
	for range count {
		start, err := s.number()
		if err != nil {
			return l, err
		}
		length, err := s.number()
		if err != nil {
			return l, err
		}
		if err := l.add(start, length); err != nil {
			return l, err
		}
	}
	return l, nil
}
