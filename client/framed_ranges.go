package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/cloudlets/cloudlets/blobstore/frame"
)

const (
	// maxRanges is how many ranges one request asks for at most: what proxies take
	// of a header is 8 KiB.
	maxRanges = 200
	// narrowGap is up to how many bytes between frames are fetched too, where that
	// takes less than another range in a request, and wideGap where it takes less
	// than another request.
	narrowGap = 1 << 10
	wideGap   = 32 << 10
	// rangeRequests is how many requests for ranges are made at a time.
	rangeRequests = 6

	// headerBlock is the size that tar pads everything to, in bytes, and maxHeader
	// that of a frame of headers as it is stored, where it may be one of content.
	headerBlock = 512
	maxHeader   = 1 << 10
)

// openPlainly fetches the index and the frames with tar headers in them from a
// registry that knows nothing of frames.
func (l *framedLayer) openPlainly() error {
	l.plain.Store(true)
	if err := l.openIndex(); err != nil {
		return err
	}
	return l.keepFrames(l.ctx, l.likelyHeaders())
}

// likelyHeaders returns the frames that most likely hold tar headers. Files begin
// at whole blocks, and a frame after a file that does not fill its last block
// begins within one. After one that does, headers are known by their sizes: they
// compress well. What is not found so is fetched when it is read.
func (l *framedLayer) likelyHeaders() frame.Set {
	found := l.index.NewSet()
	for i := range l.index.Len() {
		f := l.index.At(i)
		within := f.ContentOffset%headerBlock != 0
		if within || f.ContentSize%headerBlock == 0 && f.Size <= maxHeader {
			found.Add(i)
		}
	}
	return found
}

// run is a run of frames that are fetched together: first to last.
type run struct{ first, last int }

// runs returns the runs that hold the frames of a set, joined over gaps of so
// many bytes.
func (l *framedLayer) runs(wanted frame.Set, gap int64) []run {
	var runs []run
	var end int64
	for i := range wanted.All() {
		f := l.index.At(i)
		if n := len(runs); n > 0 && f.Offset-end <= gap {
			runs[n-1].last = i
		} else {
			runs = append(runs, run{i, i})
		}
		end = f.Offset + f.Size
	}
	return runs
}

// bytes returns the range of the blob that a run of frames takes.
func (l *framedLayer) bytes(r run) byteRange {
	last := l.index.At(r.last)
	return byteRange{l.index.At(r.first).Offset, last.Offset + last.Size}
}

// rangedFrames sends frames of the layer by ranges of its blob: many in a request
// where the registry can do that.
func (l *framedLayer) rangedFrames(ctx context.Context, wanted frame.Set, each func(i int, stored []byte) error) error {
	left := slices.Clone(wanted)
	var one sync.Mutex
	take := func(i int, stored []byte) error {
		one.Lock()
		defer one.Unlock()
		if !left.Has(i) {
			return nil
		}
		left.Remove(i)
		return each(i, stored)
	}
	if !l.single.Load() {
		err := l.fetchRuns(ctx, l.runs(left, narrowGap), maxRanges, take)
		if err != nil && !errors.Is(err, errWhole) {
			return err
		}
		if left.Empty() {
			return nil
		}
		l.single.Store(true)
	}
	if err := l.fetchRuns(ctx, l.runs(left, wideGap), 1, take); err != nil {
		return err
	}
	for i := range left.All() {
		return fmt.Errorf("frame %d: the registry has not sent it: %w", i, io.ErrUnexpectedEOF)
	}
	return nil
}

// fetchRuns fetches runs of frames, at most so many in a request, and passes all
// frames that come to take.
func (l *framedLayer) fetchRuns(ctx context.Context, runs []run, perRequest int, take func(i int, stored []byte) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(rangeRequests)
	for asked := range slices.Chunk(runs, perRequest) {
		group.Go(func() error {
			ranges := make([]byteRange, len(asked))
			for i, r := range asked {
				ranges[i] = l.bytes(r)
			}
			return l.repo.fetchRanges(ctx, l.descriptor, ranges, func(part byteRange, body io.Reader) error {
				return l.takePart(part, body, asked, take)
			})
		})
	}
	return group.Wait()
}

// takePart passes the frames in a part of the blob to take. A part begins where a
// run does.
func (l *framedLayer) takePart(part byteRange, body io.Reader, asked []run, take func(i int, stored []byte) error) error {
	at := slices.IndexFunc(asked, func(r run) bool { return l.index.At(r.first).Offset == part.first })
	if at < 0 {
		return fmt.Errorf("a part of the blob at %d, which was not asked for", part.first)
	}
	var buffer []byte
	for i := asked[at].first; i < l.index.Len(); i++ {
		f := l.index.At(i)
		if f.Offset+f.Size > part.end {
			break
		}
		var err error
		if buffer, err = l.readFrame(body, i, buffer); err != nil {
			return err
		}
		if err := take(i, buffer); err != nil {
			return err
		}
	}
	return nil
}
