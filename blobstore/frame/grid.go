package frame

import "bytes"

// Grid writes content as frames on a fixed grid: one for each MaxContent bytes
// of it, wherever they come from, and as few as there can be for runs of cells
// that are nothing but zeros. Two versions of a disk share every cell that did
// not change. It is used by one goroutine.
type Grid struct {
	w     *Writer
	cell  []byte // less than a cell, not written yet
	zeros int64  // bytes before it that are zero, not written yet
}

// NewGrid returns a grid on a writer that nothing was written to. Closing it
// does not close the writer.
func NewGrid(w *Writer) *Grid {
	return &Grid{w: w, cell: make([]byte, 0, MaxContent)}
}

// Write appends p.
func (g *Grid) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		if rest := p[written:]; len(g.cell) == 0 && len(rest) >= MaxContent {
			if err := g.put(rest[:MaxContent]); err != nil {
				return written, err
			}
			written += MaxContent
			continue
		}
		n := min(MaxContent-len(g.cell), len(p)-written)
		g.cell = append(g.cell, p[written:written+n]...)
		written += n
		if len(g.cell) < MaxContent {
			break
		}
		if err := g.put(g.cell); err != nil {
			return written, err
		}
		g.cell = g.cell[:0]
	}
	return written, nil
}

// put writes a cell, or keeps its zeros for the run that it is in.
func (g *Grid) put(cell []byte) error {
	if isZero(cell) {
		g.zeros += int64(len(cell))
		return nil
	}
	if err := g.flush(); err != nil {
		return err
	}
	if _, err := g.w.Write(cell); err != nil {
		return err
	}
	return g.w.Cut()
}

// flush writes the zeros that were kept.
func (g *Grid) flush() error {
	n := g.zeros
	g.zeros = 0
	return g.w.Zeros(n)
}

// Close writes what is left: a last cell may be short.
func (g *Grid) Close() error {
	if len(g.cell) > 0 {
		if err := g.put(g.cell); err != nil {
			return err
		}
	}
	return g.flush()
}

// isZero reports whether p, which is not empty, holds nothing but zeros.
func isZero(p []byte) bool {
	return p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}
