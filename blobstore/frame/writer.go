package frame

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// batchSize is how much content is handed to a worker at once. A layer has
// many frames of a few hundred bytes; passing them one by one would cost more
// than compressing them.
const batchSize = 512 << 10

// maxBatchCuts is how many frames are handed to a worker at once where runs of
// zeros are among them, which are long as stored and have no content.
const maxBatchCuts = 64

// Writer writes content as a blob of frames. Frames are compressed by several
// goroutines and written in order. It is used by one goroutine.
type Writer struct {
	w     io.Writer
	open  *batch // being filled
	start int    // where the current frame starts in open.content
	size  int64  // of the content so far

	work    chan *batch // to the workers
	ordered chan *batch // to the goroutine that writes
	workers sync.WaitGroup
	written chan struct{} // closed when the writing goroutine is done
	free    chan *batch

	index Index // of what was written; the writing goroutine's until written is closed

	mu  sync.Mutex
	err error
}

// batch is a run of whole frames.
type batch struct {
	content []byte
	cuts    []cut
	stored  []byte
	frames  []Frame // sizes and digests
	done    chan struct{}
}

// cut is where a frame ends in the content of a batch. One of zeros has none
// there.
type cut struct {
	end   int
	zeros int64
}

// NewWriter returns a writer to w, which is called from one goroutine at a
// time. The Writer must be closed, or it leaks goroutines.
func NewWriter(w io.Writer) (*Writer, error) {
	workers := runtime.GOMAXPROCS(0)
	fw := &Writer{
		w:       w,
		work:    make(chan *batch, workers),
		ordered: make(chan *batch, 2*workers),
		free:    make(chan *batch, 4*workers),
		written: make(chan struct{}),
	}
	for range workers {
		enc, err := newEncoder()
		if err != nil {
			return nil, err
		}
		fw.workers.Go(func() { compress(enc, fw.work) })
	}
	go fw.writeBatches()
	fw.open = fw.newBatch()
	return fw, nil
}

// newEncoder returns an encoder whose output depends on its input alone. The
// level is part of the layer format: another one gives other digests.
func newEncoder() (*zstd.Encoder, error) {
	enc, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest), // 4 % longer than SpeedDefault, a third faster
		zstd.WithWindowSize(MaxContent),
		zstd.WithEncoderCRC(false), // every frame has a SHA-256
		zstd.WithEncoderConcurrency(1),
		zstd.WithSingleSegment(true), // states the content size, needs no window
		zstd.WithZeroFrames(true),
	)
	if err != nil {
		return nil, fmt.Errorf("make zstd encoder: %w", err)
	}
	return enc, nil
}

// Write appends p to the current frame, beginning a new one whenever it is
// full.
func (w *Writer) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		room := MaxContent - (len(w.open.content) - w.start)
		n := min(room, len(p)-written)
		w.open.content = append(w.open.content, p[written:written+n]...)
		written += n
		w.size += int64(n)
		if n == room {
			if err := w.Cut(); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

// Cut ends the current frame. Without content since the last cut it does
// nothing.
func (w *Writer) Cut() error {
	end := len(w.open.content)
	if end == w.start {
		return nil
	}
	w.open.cuts = append(w.open.cuts, cut{end: end})
	w.start = end
	if end < batchSize {
		return nil
	}
	return w.send()
}

// Zeros appends n zeros in frames of their own. They end at whole multiples of
// MaxZeros of the content and, but for the last, of MaxContent, so that a change
// within a long run leaves most of its frames alone.
func (w *Writer) Zeros(n int64) error {
	if err := w.Cut(); err != nil {
		return err
	}
	for n > 0 {
		run := min(n, MaxZeros-w.size%MaxZeros)
		if run > MaxContent {
			run -= run % MaxContent
		}
		w.open.cuts = append(w.open.cuts, cut{end: w.start, zeros: run})
		w.size += run
		n -= run
		if len(w.open.cuts) < maxBatchCuts {
			continue
		}
		if err := w.send(); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) send() error {
	if err := w.failure(); err != nil {
		return err
	}
	w.work <- w.open
	w.ordered <- w.open
	w.open, w.start = w.newBatch(), 0
	return nil
}

// Close ends the last frame and writes the index and the seek table. It
// returns the index and where it stands in the blob.
func (w *Writer) Close() (*Index, Position, error) {
	err := w.Cut()
	if err == nil && len(w.open.cuts) > 0 {
		err = w.send()
	}
	close(w.work)
	close(w.ordered)
	w.workers.Wait()
	<-w.written
	if err = errors.Join(err, w.failure()); err != nil {
		return nil, Position{}, err
	}
	trailer, pos := w.index.Trailer()
	if _, err := w.w.Write(trailer); err != nil {
		return nil, Position{}, fmt.Errorf("write frame index: %w", err)
	}
	return &w.index, pos, nil
}

func (w *Writer) newBatch() *batch {
	select {
	case b := <-w.free:
		b.content, b.cuts = b.content[:0], b.cuts[:0]
		b.stored, b.frames = b.stored[:0], b.frames[:0]
		b.done = make(chan struct{})
		return b
	default:
		return &batch{content: make([]byte, 0, batchSize+MaxContent), done: make(chan struct{})}
	}
}

func (w *Writer) writeBatches() {
	defer close(w.written)
	for b := range w.ordered {
		<-b.done
		if w.failure() == nil {
			w.writeBatch(b)
		}
		select {
		case w.free <- b:
		default:
		}
	}
}

func (w *Writer) writeBatch(b *batch) {
	if _, err := w.w.Write(b.stored); err != nil {
		w.fail(fmt.Errorf("write frames: %w", err))
		return
	}
	if w.index.Len()+len(b.frames) > MaxFrames {
		w.fail(fmt.Errorf("write frames: more than %d frames in one blob", MaxFrames))
		return
	}
	for _, f := range b.frames {
		w.index.append(f.Size, f.ContentSize, f.Digest)
	}
}

func (w *Writer) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *Writer) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

// compress turns the content of batches into frames.
func compress(enc *zstd.Encoder, work <-chan *batch) {
	for b := range work {
		start := 0
		for _, c := range b.cuts {
			from, content := len(b.stored), c.zeros
			if c.zeros > 0 {
				b.stored = appendZeros(b.stored, c.zeros)
			} else {
				b.stored = enc.EncodeAll(b.content[start:c.end], b.stored)
				content = int64(c.end - start)
			}
			b.frames = append(b.frames, Frame{
				Size:        int64(len(b.stored) - from),
				ContentSize: content,
				Digest:      sha256.Sum256(b.stored[from:]),
			})
			start = c.end
		}
		close(b.done)
	}
}
