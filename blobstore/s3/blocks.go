package s3

import (
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/cloudlets/cloudlets/blobstore/cache"
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
	recent *cache.Cache[blockID, []byte]
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

func newBlockCache(d *Driver, size int64) *blockCache {
	return &blockCache{
		driver: d, recent: cache.New[blockID, []byte](size),
		reads: semaphore.NewWeighted(maxReads), flights: make(map[blockID]*flight),
	}
}

// block returns a block of the object. It must not be changed.
func (o *object) block(i int64) ([]byte, error) {
	f := o.driver.cache.look(blockID{o.name, i})
	if ahead := o.ahead(i, f == nil); f == nil {
		f = ahead
	}
	select {
	case <-f.done:
		return f.data, f.err
	case <-o.ctx.Done():
		return nil, o.ctx.Err()
	}
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
	return o.driver.cache.fetch(o, begin, o.next, i)
}

// landed returns the flight of a block that is here.
func landed(data []byte) *flight {
	f := &flight{done: make(chan struct{}), data: data}
	close(f.done)
	return f
}

// look returns the flight of a block that is here or on its way, or nil.
func (c *blockCache) look(id blockID) *flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.find(id)
}

// find is look, with the lock held.
func (c *blockCache) find(id blockID) *flight {
	if f := c.flights[id]; f != nil {
		return f
	}
	if data, ok := c.recent.Get(id); ok {
		return landed(data)
	}
	return nil
}

// fetch asks for the blocks from begin to end that are neither here nor on their
// way, each run of them with one request, and returns the flight of block i.
func (c *blockCache) fetch(o *object, begin, end, i int64) (want *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var run []*flight
	for at := begin; at < end; at++ {
		id := blockID{o.name, at}
		f := c.find(id)
		if f == nil {
			f = &flight{done: make(chan struct{})}
			c.flights[id] = f
			run = append(run, f)
		} else {
			c.start(o, at, run)
			run = nil
		}
		if at == i {
			want = f
		}
	}
	c.start(o, end, run)
	return want
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
	b.cache.mu.Lock()
	delete(b.cache.flights, id)
	if err == nil {
		b.cache.recent.Add(id, data, int64(len(data)))
	}
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
