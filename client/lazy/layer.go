package lazy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/cloudlets/cloudlets/blobstore/file"
	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/extent"
)

// Source sends frames of a layer.
type Source interface {
	// Frames sends the frames of a set, as they are stored and in order, to
	// each. They are verified there. An error of each ends it.
	Frames(ctx context.Context, wanted frame.Set, each func(i int, stored []byte) error) error
}

// Layer is the content of a layer, of which some is held. It is safe for
// concurrent use.
type Layer struct {
	cache  *Cache
	digest extent.Digest // of the encoded index
	index  *frame.Index
	source Source

	file    *os.File
	journal *journal // nil for a temporary file
	held    bitset   // frames whose content is in the file
	used    bitset   // frames that were read since eviction last came by

	// evicting is held shared while held content is read, and alone while it is
	// taken away.
	evicting sync.RWMutex
	hand     int // the frame that is evicted next

	flights map[int]*flight // of the scheduler: frames on their way
	reads   sequences       // of content that was not held
}

// Layer returns the content of a layer whose encoded index has the digest d: from
// an index follows what the content is. The source of the first caller is used
// for all.
func (c *Cache) Layer(d extent.Digest, x *frame.Index, source Source) (*Layer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.layers {
		if l.digest == d {
			return l, nil
		}
	}
	l := &Layer{
		cache: c, digest: d, index: x, source: source,
		held: newBitset(x.Len()), used: newBitset(x.Len()), flights: make(map[int]*flight),
	}
	var err error
	if l.file, err = c.file(d, ".content"); err != nil {
		return nil, fmt.Errorf("keep content of layer %s: %w", d, err)
	}
	if c.dir != "" {
		if err := l.openJournal(); err != nil {
			return nil, errors.Join(fmt.Errorf("keep content of layer %s: %w", d, err), l.file.Close())
		}
	}
	if err := l.holdZeros(); err != nil {
		return nil, errors.Join(fmt.Errorf("keep content of layer %s: %w", d, err), l.close())
	}
	c.layers = append(c.layers, l)
	return l, nil
}

// holdZeros says that frames of nothing but zeros are held: they are holes in the
// file, and need not be fetched. From the index it is known what they are.
func (l *Layer) holdZeros() error {
	for i := range l.index.Len() {
		if l.zeros(i) {
			l.held.add(i)
		}
	}
	return l.file.Truncate(l.Size())
}

// zeros reports whether a frame is known to be zeros by its length.
func (l *Layer) zeros(i int) bool { return l.index.At(i).ContentSize > frame.MaxContent }

func (l *Layer) close() error {
	err := l.file.Close()
	if l.journal != nil {
		err = errors.Join(err, l.journal.file.Close())
	}
	return err
}

// Size returns the length of the content in bytes.
func (l *Layer) Size() int64 { return l.index.ContentSize() }

// ReadAt reads content, as [io.ReaderAt] asks, and fetches what is not held.
func (l *Layer) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read content at %d: negative offset", off)
	}
	n := 0
	for n < len(p) && off+int64(n) < l.Size() {
		k, err := l.readHeld(p[n:], off+int64(n))
		if err != nil {
			return n, err
		}
		if n += k; k > 0 {
			continue
		}
		if err := l.fetch(off+int64(n), min(int64(len(p)-n), l.cache.step())); err != nil {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// fetch fetches content, and what follows it where the read continues others.
func (l *Layer) fetch(off, n int64) error {
	start, end := l.reads.follow(off, n, l.cache.window, func(int64) int64 { return l.Size() })
	following := l.missing(nil, extent.Extent{Kind: extent.Source, Offset: start, Length: end - start})
	wanted := l.missing(nil, extent.Extent{Kind: extent.Source, Offset: off, Length: n})
	return l.cache.fetch.wait(context.Background(), wanted, following)
}

// readHeld reads as much as is held from off on.
func (l *Layer) readHeld(p []byte, off int64) (int, error) {
	l.evicting.RLock()
	defer l.evicting.RUnlock()
	if p = p[:l.use(off, len(p))]; len(p) == 0 {
		return 0, nil
	}
	n, err := l.file.ReadAt(p, off)
	if err != nil {
		return n, fmt.Errorf("read kept content of layer %s: %w", l.digest, err)
	}
	return n, nil
}

// use returns how many of n bytes from off on are held, and notes that they are
// read. Its caller holds l.evicting.
func (l *Layer) use(off int64, n int) int {
	end := off
	for i := l.index.Find(off); i < l.index.Len() && end < off+int64(n) && l.held.has(i); i++ {
		l.used.add(i)
		f := l.index.At(i)
		end = f.ContentOffset + f.ContentSize
	}
	return int(min(int64(n), end-off))
}

// ReadNow fills p with the content at off if that is held, and in the kernel's
// memory.
func (l *Layer) ReadNow(p []byte, off int64) bool {
	if off < 0 || !l.evicting.TryRLock() {
		return false
	}
	defer l.evicting.RUnlock()
	return l.use(off, len(p)) == len(p) && file.ReadNow(l.file, p, off)
}

// want is a frame of a layer.
type want struct {
	layer *Layer
	frame int
}

// missing appends the frames that hold some of an extent of the layer and are not
// held.
func (l *Layer) missing(wants []want, e extent.Extent) []want {
	first, end := l.index.Overlap(e.Offset, e.Length)
	for i := first; i < end; i++ {
		if !l.held.has(i) && !l.revive(i) {
			wants = append(wants, want{l, i})
		}
	}
	return wants
}

// Put keeps a frame that was fetched otherwise.
func (l *Layer) Put(i int, stored []byte) error {
	if l.held.has(i) {
		return nil
	}
	f := l.index.At(i)
	content, err := l.cache.decoder.Decode(f, stored, make([]byte, f.ContentSize))
	if err != nil {
		return fmt.Errorf("frame %d of layer %s: %w", i, l.digest, err)
	}
	if _, err := l.file.WriteAt(content, f.ContentOffset); err != nil {
		return fmt.Errorf("keep frame %d of layer %s: %w", i, l.digest, err)
	}
	if l.journal != nil {
		if err := l.journal.add(i, content); err != nil {
			return fmt.Errorf("keep frame %d of layer %s: %w", i, l.digest, err)
		}
	}
	return l.hold(i, f.ContentSize)
}

// hold says that the file has the content of a frame.
func (l *Layer) hold(i int, n int64) error {
	l.used.add(i)
	if !l.held.add(i) {
		return nil
	}
	return l.cache.keep(n)
}

// evict takes content away until wanted bytes are free, or the layer was gone
// through.
func (l *Layer) evict(wanted int64) (freed int64, ended bool, err error) {
	l.evicting.Lock()
	defer l.evicting.Unlock()
	for ; l.hand < l.index.Len(); l.hand++ {
		if freed >= wanted {
			return freed, false, nil
		}
		if !l.held.has(l.hand) || l.zeros(l.hand) {
			continue
		}
		if l.used.has(l.hand) {
			l.used.remove(l.hand)
			continue
		}
		l.held.remove(l.hand)
		f := l.index.At(l.hand)
		freed += f.ContentSize
		err := unix.Fallocate(int(l.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, f.ContentOffset, f.ContentSize)
		if err != nil {
			return freed, false, fmt.Errorf("punch a hole into its file: %w", err)
		}
	}
	l.hand = 0
	return freed, true, nil
}
