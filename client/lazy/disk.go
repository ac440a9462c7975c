package lazy

import (
	"context"
	"sync"

	"github.com/cloudlets/cloudlets/extent"
)

const (
	// rest is how much of the same file goes with what is missing, in bytes.
	rest = 384 << 10
	// smallFile is the size of files, in bytes, that others like them go with:
	// neighbours of them.
	smallFile  = 32 << 10
	neighbours = 8
	// gap is the longest run without content between two such files, in bytes: the
	// end of a block.
	gap = 4096
)

// Disk is a disk whose content is fetched when it is read. It is safe for
// concurrent use.
type Disk struct {
	*extent.Reader
	cache  *Cache
	layers map[extent.Digest]*Layer // by the digest of the content
	window int64

	reads sequences

	mu       sync.Mutex
	recorder *recorder // nil where nothing is recorded
}

// NewDisk returns the disk of a map, whose content open opens. Content of the
// layers is fetched when it is wanted; other content is at hand. Up to window bytes
// are fetched ahead of sequential reads.
func NewDisk(ctx context.Context, m *extent.Map, open extent.Opener, cache *Cache, layers map[extent.Digest]*Layer, window int64) *Disk {
	return &Disk{Reader: extent.NewReader(ctx, m, open), cache: cache, layers: layers, window: window}
}

// Stats returns what the cache of the disk has fetched.
func (d *Disk) Stats() Stats { return d.cache.fetch.counted() }

// Fetch returns once the n bytes at off can be read without waiting, as far as
// there is room for them. It is what reads of a guest come by.
func (d *Disk) Fetch(ctx context.Context, off, n int64) error {
	for step := d.cache.step(); n > step; n -= step {
		if err := d.fetch(ctx, off, step); err != nil {
			return err
		}
		off += step
	}
	return d.fetch(ctx, off, n)
}

// ReadNow fills p with what a guest reads, if it is held and in the kernel's
// memory, as [extent.NowReader] asks.
func (d *Disk) ReadNow(p []byte, off int64) bool {
	if !d.Reader.ReadNow(p, off) {
		return false
	}
	n := int64(len(p))
	d.record(off, n)
	start, end := d.follow(off, n)
	d.fetchAhead(prioritySequence, start, end)
	return true
}

func (d *Disk) fetch(ctx context.Context, off, n int64) error {
	d.record(off, n)
	wants := d.missing(nil, off, n)
	start, end := d.follow(off, n)
	if len(wants) == 0 {
		d.fetchAhead(prioritySequence, start, end)
		return nil
	}
	// What follows goes with what is missing, in one request.
	return d.cache.fetch.wait(ctx, wants, d.missing(d.around(off, n), start, end-start))
}

// around returns what is worth its bytes when a request is made for a read at
// all: a little more of the file, and where files are small, those that follow it
// in the plan, which are mostly of the same directory. On a boot of Debian this
// halves the requests, for a tenth more content.
func (d *Disk) around(off, n int64) []want {
	i := d.Map().Find(off + n - 1)
	if d.window == 0 || i == d.Map().Len() {
		return nil
	}
	start, e := d.Map().At(i)
	for ; e.Kind != extent.Source && start > off; start, e = d.Map().At(i) {
		i--
	}
	if e.Kind != extent.Source {
		return nil
	}
	wants := d.missing(nil, off+n, min(start+e.Length, off+n+rest)-off-n)
	if e.Length > smallFile {
		return wants
	}
	for found := 0; found < neighbours && i+1 < d.Map().Len(); {
		i++
		start, e = d.Map().At(i)
		switch {
		case e.Kind == extent.Source && e.Length <= smallFile:
			wants = d.missing(wants, start, e.Length)
			found++
		case e.Kind == extent.Source || e.Length > gap:
			return wants
		}
	}
	return wants
}

// missing appends the frames of a range of the disk that are not held.
func (d *Disk) missing(wants []want, off, n int64) []want {
	for _, e := range d.Map().Range(off, n) {
		if e.Kind != extent.Source {
			continue
		}
		if l := d.layers[e.Digest]; l != nil {
			wants = l.missing(wants, e)
		}
	}
	return wants
}

// fetchAhead has a range of the disk fetched.
func (d *Disk) fetchAhead(p priority, start, end int64) {
	if wants := d.missing(nil, start, end-start); len(wants) > 0 {
		d.cache.fetch.prefetch(p, wants)
	}
}

// Fill has all of the disk fetched, in the order of its plan, while nothing else
// is waited for.
func (d *Disk) Fill() { d.fetchAhead(priorityPlan, 0, d.Size()) }

// follow returns the range that is to be fetched ahead of a read. It ends with the
// extent that is being read, that is with the file: what is read after that is
// another matter.
func (d *Disk) follow(off, n int64) (start, end int64) {
	return d.reads.follow(off, n, d.window, d.extentEnd)
}

// extentEnd returns where the extent ends that holds the byte at off.
func (d *Disk) extentEnd(off int64) int64 {
	i := d.Map().Find(off)
	if i == d.Map().Len() {
		return d.Size()
	}
	start, e := d.Map().At(i)
	return start + e.Length
}
