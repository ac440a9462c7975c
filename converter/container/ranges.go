package container

import (
	"cmp"
	"fmt"
	"slices"
)

// Range is a part of a file that is used for something.
type Range struct {
	What       string // "L2 table"
	Start, End int64  // bytes
	// Shared says that other shared ranges may use it too.
	Shared bool
}

// Ranges are the used parts of a file.
type Ranges []Range

// Add notes that n bytes at off are used for one thing alone.
func (r *Ranges) Add(what string, off, n int64) {
	*r = append(*r, Range{What: what, Start: off, End: off + n})
}

// Join is [Ranges.Add] for one of many things of a kind: where it goes on at the
// end of the last one, both become one range. what is a constant. A file in too
// many pieces is refused as by [CheckPieces].
func (r *Ranges) Join(what string, off, n int64) error {
	last := len(*r) - 1
	if last >= 0 && (*r)[last].What == what && (*r)[last].End == off {
		(*r)[last].End += n
		return nil
	}
	r.Add(what, off, n)
	return CheckPieces(len(*r))
}

// Check refuses a file in which one place is used for two things: data would
// show up in tables, or the other way round. Only ranges that are both shared may
// overlap. The error wraps ErrFormat. The ranges are sorted in place.
func (r Ranges) Check() error {
	slices.SortFunc(r, func(a, b Range) int { return cmp.Compare(a.Start, b.Start) })
	var last, lastAlone Range // of those seen, the ones that end last
	for _, next := range r {
		before := last
		if next.Shared {
			before = lastAlone
		}
		if next.Start < before.End {
			return fmt.Errorf("%w: the %s at %d overlaps the %s at %d", ErrFormat, next.What, next.Start, before.What, before.Start)
		}
		if next.End > last.End {
			last = next
		}
		if !next.Shared && next.End > lastAlone.End {
			lastAlone = next
		}
	}
	return nil
}
