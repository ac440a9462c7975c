package s3

import (
	"sync"

	"golang.org/x/sync/semaphore"
)

const (
	// blockSize is the unit of the cache, in bytes. A request asks for several
	// where reads follow each other.
	blockSize = 256 << 10
	minWindow = 1  // blocks asked for at once where they do not,
	maxWindow = 32 // and where they have for some time
)

// blockID names a block of an object.
type blockID struct {
	name  name
	index int64
}

// blockCache keeps blocks that were read, and those that are being read.
type blockCache struct {
	driver *Driver
	slots  *slots
	reads  *semaphore.Weighted

	mu      sync.Mutex
	flights map[blockID]*flight
}

// flight is a block on its way.
type flight struct {
	done chan struct{} // closed once the block or err is there
	data []byte
	err  error
}

func newBlockCache(d *Driver, dir string, size int64) (*blockCache, error) {
	s, err := newSlots(dir, size)
	if err != nil {
		return nil, err
	}
	return &blockCache{driver: d, slots: s, reads: semaphore.NewWeighted(maxReads), flights: make(map[blockID]*flight)}, nil
}

// readBlock copies bytes at off of the block i, and says how many.
func (o *object) readBlock(p []byte, i, off int64) (int, error) {
	n, f := o.driver.cache.look(blockID{o.name, i}, p, off)
	here := n > 0
	if ahead := o.ahead(i, !here && f == nil); f == nil {
		f = ahead
	}
	if here {
		return n, nil
	}
	select {
	case <-f.done:
	case <-o.ctx.Done():
		return 0, o.ctx.Err()
	}
	if f.err != nil {
		return 0, f.err
	}
	return copy(p, f.data[off:]), nil
}

// ahead asks for the block i, if it is missing, and for more where reads follow
// each other: a window that doubles each time, the next one when the second half
// of the last is reached. It returns where a missing block arrives.
func (o *object) ahead(i int64, missing bool) *flight {
	o.mu.Lock()
	defer o.mu.Unlock()
	near := i >= o.next-o.window && i <= o.next+o.window
	var begin int64
	switch {
	case missing && near:
		o.window = min(2*o.window, maxWindow)
		begin = min(i, o.next)
	case missing:
		o.window = minWindow
		begin = i
	case o.window > minWindow && i >= o.next-o.window/2 && i < o.next:
		o.window = min(2*o.window, maxWindow)
		begin = o.next
	default:
		return nil
	}
	blocks := (o.size + blockSize - 1) / blockSize
	o.next = min(max(i+1, begin+o.window), blocks)
	if !missing {
		i = noBlock
	}
	return o.driver.cache.fetch(o, begin, o.next, i)
}

// noBlock is the index of no block.
const noBlock = -1

// look copies bytes at off of a block that is here, or returns the flight of one
// that is on its way.
func (c *blockCache) look(id blockID, p []byte, off int64) (int, *flight) {
	for range 2 { // it may land between the two looks
		if n, here := c.slots.read(id, p, off); here {
			return n, nil
		}
		c.mu.Lock()
		f := c.flights[id]
		c.mu.Unlock()
		if f != nil {
			return 0, f
		}
	}
	return 0, nil
}

// fetch asks for the blocks from begin to end that are neither here nor on their
// way, each run of them with one request, and for the block want whether it is
// here or not. It returns the flight of that one.
func (c *blockCache) fetch(o *object, begin, end, want int64) (wanted *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var run []*flight
	for at := begin; at < end; at++ {
		id := blockID{o.name, at}
		f := c.flights[id]
		if f == nil && (at == want || !c.slots.has(id)) {
			f = &flight{done: make(chan struct{})}
			c.flights[id] = f
			run = append(run, f)
		} else {
			c.start(o, at, run)
			run = nil
		}
		if at == want {
			wanted = f
		}
	}
	c.start(o, end, run)
	return wanted
}

// start reads a run of blocks that ends before the block end, in the background.
func (c *blockCache) start(o *object, end int64, run []*flight) {
	if len(run) == 0 {
		return
	}
	first := end - int64(len(run))
	c.driver.work.Go(func() {
		b := &blockWriter{cache: c, name: o.name, size: o.size, next: first, left: run}
		ctx := c.driver.ctx
		err := c.reads.Acquire(ctx, 1)
		if err == nil {
			_, err = c.driver.copyRange(ctx, b, o.name, first*blockSize, min(o.size, end*blockSize))
			c.reads.Release(1)
		}
		b.fail(err)
	})
}

// blockWriter cuts a stream into blocks and hands out each when it is whole.
type blockWriter struct {
	cache *blockCache
	name  name
	size  int64 // of the object
	next  int64 // the block that is being filled
	data  []byte
	left  []*flight // from next on
}

func (b *blockWriter) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		want := int(min(blockSize, b.size-b.next*blockSize))
		if b.data == nil {
			b.data = make([]byte, 0, want)
		}
		k := min(len(p), want-len(b.data))
		b.data = append(b.data, p[:k]...)
		p = p[k:]
		if len(b.data) == want {
			b.land(b.data, nil)
		}
	}
	return written, nil
}

// land ends the flight of the next block.
func (b *blockWriter) land(data []byte, err error) {
	id := blockID{b.name, b.next}
	f := b.left[0]
	f.data, f.err = data, err
	if err == nil {
		if err := b.cache.slots.add(id, data); err != nil {
			b.cache.driver.log.Warn("cache failed", "error", err)
		}
	}
	b.cache.mu.Lock()
	delete(b.cache.flights, id)
	b.cache.mu.Unlock()
	close(f.done)
	b.data, b.left = nil, b.left[1:]
	b.next++
}

// fail ends the flights of blocks that did not arrive.
func (b *blockWriter) fail(err error) {
	for len(b.left) > 0 {
		b.land(nil, err)
	}
}
