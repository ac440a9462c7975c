package extent

import (
	"context"
	"fmt"
	"io"
	"iter"
	"runtime"
	"sync"
)

const (
	// pieceSize is how much content is read at once while streaming.
	pieceSize = 1 << 20
	// minHole is the shortest run of zeros that is handled as such. Shorter
	// ones — the tails of files, mostly — are cheaper to copy than to skip.
	minHole = 64 << 10
)

// piece is a run of content that is read, or skipped, in one go.
type piece struct {
	off, n int64
	zero   bool
	buf    []byte        // of n bytes once done is closed; nil where zero
	err    error         // of the read
	done   chan struct{} // nil where zero
}

// ZeroWriter is a writer that takes zeros by their number, and need not be handed
// them: a file that can have holes.
type ZeroWriter interface {
	io.Writer
	// WriteZeros appends n zero bytes, and returns how many it has appended.
	WriteZeros(n int64) (int64, error)
}

// WriteTo writes the content to w from beginning to end, as [io.WriterTo] asks.
// Several goroutines read ahead; at most a few MiB are held at any time. A
// [ZeroWriter] is told how long runs of zeros are.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	zeros, ok := w.(ZeroWriter)
	if !ok {
		zeros = zeroFiller{w}
	}
	var written int64
	err := r.stream(func(p *piece) error {
		if p.zero {
			n, err := zeros.WriteZeros(p.n)
			written += n
			return err
		}
		n, err := w.Write(p.buf)
		written += int64(n)
		return err
	})
	return written, err
}

// zeroFiller writes zeros as bytes.
type zeroFiller struct{ io.Writer }

// zeros are what a zeroFiller writes.
var zeros [minHole]byte

func (w zeroFiller) WriteZeros(n int64) (int64, error) {
	var written int64
	for written < n {
		k, err := w.Write(zeros[:min(n-written, minHole)])
		written += int64(k)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// SparseWriter is a file that can have holes, such as an [*os.File].
type SparseWriter interface {
	io.WriterAt
	Truncate(size int64) error
}

// WriteSparse writes the content to an empty file, leaving out runs of zeros so
// that they become holes.
func (r *Reader) WriteSparse(f SparseWriter) error {
	if err := f.Truncate(r.m.size); err != nil {
		return err
	}
	return r.stream(func(p *piece) error {
		if p.zero {
			return nil
		}
		_, err := f.WriteAt(p.buf, p.off)
		return err
	})
}

// stream calls emit for every piece of the content, in order, reading ahead of
// it. emit must not keep the piece's buffer.
func (r *Reader) stream(emit func(*piece) error) error {
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	readers := 2 * runtime.GOMAXPROCS(0)
	buffers := make(chan []byte, readers)
	for range readers {
		buffers <- nil // made when first used
	}
	pieces := make(chan *piece, readers)
	var reads sync.WaitGroup // none outlives this call: the blobs may be closed after it
	defer reads.Wait()
	go func() {
		defer close(pieces)
		r.schedule(ctx, pieces, buffers, &reads)
	}()
	var failed error
	for p := range pieces {
		if !p.zero {
			<-p.done
		}
		if failed == nil {
			if failed = p.err; failed == nil {
				failed = emit(p)
			}
			if failed != nil {
				failed = fmt.Errorf("at %d: %w", p.off, failed)
				cancel()
			}
		}
		if !p.zero {
			buffers <- p.buf
		}
	}
	if failed == nil {
		failed = r.ctx.Err()
	}
	return failed
}

// schedule cuts the content into pieces, starts to read each into one of
// buffers, and sends them in order until the content or ctx ends.
func (r *Reader) schedule(ctx context.Context, pieces chan<- *piece, buffers <-chan []byte, reads *sync.WaitGroup) {
	for p := range r.m.pieces() {
		if !p.zero {
			select {
			case p.buf = <-buffers:
			case <-ctx.Done():
				return
			}
			p.done = make(chan struct{})
			reads.Go(func() { r.read(p) })
		}
		select {
		case pieces <- p:
		case <-ctx.Done():
			return
		}
	}
}

// read fills a piece.
func (r *Reader) read(p *piece) {
	defer close(p.done)
	if p.buf == nil {
		p.buf = make([]byte, pieceSize)
	}
	p.buf = p.buf[:p.n]
	if n, err := r.ReadAt(p.buf, p.off); int64(n) < p.n {
		p.err = err
	}
}

// pieces cuts the content into runs of zeros of at least minHole bytes, and
// runs of everything else of at most pieceSize.
func (m *Map) pieces() iter.Seq[*piece] {
	return func(yield func(*piece) bool) {
		for off := int64(0); off < m.size; {
			hole, end := m.nextHole(off)
			for off < hole {
				n := min(pieceSize, hole-off)
				if !yield(&piece{off: off, n: n}) {
					return
				}
				off += n
			}
			if hole < end && !yield(&piece{off: hole, n: end - hole, zero: true}) {
				return
			}
			off = end
		}
	}
}

// nextHole returns the first run of at least minHole zeros at or after off, or
// the empty run at the end of the map.
func (m *Map) nextHole(off int64) (start, end int64) {
	for i := m.Find(off); i < len(m.runs); i++ {
		start, end = max(m.starts[i], off), m.end(i)
		if m.runs[i].blob == blobZero && end-start >= minHole {
			return start, end
		}
	}
	return m.size, m.size
}
