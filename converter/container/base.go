package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cloudlets/cloudlets/extent"
)

// Base is a disk that the writer of another leaves content to: all that the two
// have in common.
type Base struct {
	Digest extent.Digest // of the disk, raw
	Map    *extent.Map

	differs []Run // sectors of the other disk
}

// baseSector is the unit in which disks are compared, in bytes. The grains of all
// formats are multiples of it.
const baseSector = 512

// Comparison is a disk, and the one that it is to be written over.
type Comparison struct {
	Disk   *extent.Map
	Parent *extent.Map
	// Digest is that of the parent, raw.
	Digest extent.Digest
	// Open opens what the maps refer to.
	Open extent.Opener
	// Name returns a finer name for content: equal names are equal content. What
	// it returns may be shorter. Nil knows none.
	Name func(extent.Extent) extent.Extent
}

// Base compares the disks. Content is read only where their maps leave it open
// whether it is the same. What is found depends on the content of both alone.
func (c Comparison) Base(ctx context.Context) (_ *Base, err error) {
	if _, ok := parseDigest(string(c.Digest)); !ok {
		return nil, fmt.Errorf("parent %.100q: expected the SHA-256 of its disk, as sha256: and 64 hexadecimal digits", c.Digest)
	}
	w := comparing{
		Comparison: c, base: &Base{Digest: c.Digest, Map: c.Parent},
		disk: extent.NewReader(ctx, c.Disk, c.Open), parent: extent.NewReader(ctx, c.Parent, c.Open),
	}
	defer func() { err = errors.Join(err, w.disk.Close(), w.parent.Close()) }()
	for off := int64(0); off < w.size(); {
		n, err := w.next(off)
		if err != nil {
			return nil, fmt.Errorf("compare the disk with its parent at %d: %w", off, err)
		}
		off += n
	}
	return w.base, nil
}

// comparing is a comparison under way.
type comparing struct {
	Comparison
	base         *Base
	disk, parent *extent.Reader
	mine, theirs [compareBytes]byte
}

// compareBytes is how much of each disk is read at a time.
const compareBytes = 256 << 10

// next compares what begins at off, and returns how many bytes it has compared.
func (w *comparing) next(off int64) (int64, error) {
	mine, n := at(w.Disk, off, w.size()-off)
	theirs, n := at(w.Parent, off, n)
	if w.Name != nil && mine.Kind == extent.Source && theirs.Kind == extent.Source {
		mine, theirs = w.Name(mine.Slice(0, n)), w.Name(theirs.Slice(0, n))
		n = min(mine.Length, theirs.Length)
	}
	if same(mine, theirs) {
		return n, nil
	}
	n = min(n, compareBytes)
	a, b := w.mine[:n], w.theirs[:n]
	if err := errors.Join(readPadded(w.disk, a, off), readPadded(w.parent, b, off)); err != nil {
		return 0, err
	}
	w.compare(a, b, off)
	return n, nil
}

// size returns how many bytes are compared: formats pad disks to whole sectors.
func (w *comparing) size() int64 { return AlignUp(w.Disk.Size(), baseSector) }

// readPadded reads what a disk has at off. Beyond its end it is zero.
func readPadded(r *extent.Reader, p []byte, off int64) error {
	held := min(int64(len(p)), max(0, r.Size()-off))
	clear(p[held:])
	return ReadFull(r, p[:held], off)
}

// compare notes the sectors in which two disks differ, of which a and b were read
// at off.
func (w *comparing) compare(a, b []byte, off int64) {
	if bytes.Equal(a, b) {
		return
	}
	for start := 0; start < len(a); {
		end := min(start+int(baseSector-(off+int64(start))%baseSector), len(a))
		if !bytes.Equal(a[start:end], b[start:end]) {
			w.base.differs = AppendGrain(w.base.differs, (off+int64(start))/baseSector)
		}
		start = end
	}
}

// at returns what a map has at off, and for how many bytes, n at most. Beyond
// its end it is zero.
func at(m *extent.Map, off, n int64) (extent.Extent, int64) {
	if off >= m.Size() {
		return extent.Extent{Kind: extent.Zero, Length: n}, n
	}
	start, e := m.At(m.Find(off))
	n = min(n, start+e.Length-off)
	return e.Slice(off-start, e.Length-(off-start)), n
}

// same reports whether two extents tell by themselves that they begin with the
// same content.
func same(mine, theirs extent.Extent) bool {
	if mine.Kind != theirs.Kind {
		return false
	}
	switch mine.Kind {
	case extent.Zero:
		return true
	case extent.Source:
		return mine.Digest == theirs.Digest && mine.Offset == theirs.Offset
	}
	return false
}

// Runs returns, in order, the runs of grains in which the disk differs from its
// base in any byte. grain is a multiple of 512 bytes.
func (p *Base) Runs(grain int64) []Run {
	var runs []Run
	for _, r := range p.differs {
		run := Run{First: r.First * baseSector / grain}
		run.Count = (r.End()*baseSector-1)/grain + 1 - run.First
		runs = appendRun(runs, run)
	}
	return runs
}
