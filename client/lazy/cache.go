package lazy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/extent"
)

// Cache keeps content of layers in files. It is safe for concurrent use.
type Cache struct {
	dir     string   // empty: the files have no names
	lock    *os.File // of dir
	budget  int64
	decoder *frame.Decoder
	held    atomic.Int64 // bytes of content that are kept
	fetch   *scheduler
	window  int64 // see ReadAhead

	mu     sync.Mutex
	layers []*Layer
	hand   int // the layer that is evicted from next
}

// MinBudget is the smallest budget of a cache, in bytes.
const MinBudget = 1 << 20

// maxStep is how much content one read has fetched at a time, in bytes.
const maxStep = 8 << 20

// step is how much content may be waited for at a time, in bytes, so that what
// comes first is not evicted by what comes last.
func (c *Cache) step() int64 { return min(maxStep, c.budget/8) }

// ErrInUse says that another process uses a cache.
var ErrInUse = errors.New("the cache is used by another process: wait for it, or name another directory")

// Open opens a cache of up to budget bytes of content in a directory, which is
// made if it is not there. What an earlier process has left there is used, once
// it was verified. Without a directory the files are temporary ones.
func Open(dir string, budget int64) (*Cache, error) {
	if budget < MinBudget {
		return nil, fmt.Errorf("open the cache: room for %d bytes, expected %d or more", budget, MinBudget)
	}
	decoder, err := frame.NewDecoder(0)
	if err != nil {
		return nil, err
	}
	c := &Cache{dir: dir, budget: budget, decoder: decoder, fetch: newScheduler()}
	if dir == "" {
		return c, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the cache: %w", err)
	}
	if c.lock, err = os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, fmt.Errorf("open the cache: %w", err)
	}
	if err := unix.Flock(int(c.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("cache %s: %w", dir, ErrInUse), c.lock.Close())
	}
	return c, nil
}

// ReadAhead has up to window bytes of content fetched ahead of sequential reads of
// layers, as those who read whole images do. A [Disk] has a window of its own. It
// is set before layers are opened.
func (c *Cache) ReadAhead(window int64) { c.window = window }

// file opens the file that content of a layer is kept in.
func (c *Cache) file(d extent.Digest, kind string) (*os.File, error) {
	if c.dir == "" {
		f, err := os.CreateTemp("", "cloudlets-cache-*")
		if err != nil {
			return nil, err
		}
		return f, os.Remove(f.Name())
	}
	name := strings.ReplaceAll(string(d), ":", "-") + kind
	if !filepath.IsLocal(name) || strings.ContainsRune(name, filepath.Separator) {
		return nil, fmt.Errorf("cache layer %s: expected a digest", d)
	}
	return os.OpenFile(filepath.Join(c.dir, name), os.O_RDWR|os.O_CREATE, 0o600)
}

// Count adds what was fetched for layers otherwise.
func (c *Cache) Count(bytes int64) {
	c.fetch.mu.Lock()
	defer c.fetch.mu.Unlock()
	c.fetch.stats.Requests++
	c.fetch.stats.Bytes += bytes
}

// Close ends fetching, and closes the files. No read may be under way.
func (c *Cache) Close() error {
	c.fetch.stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, l := range c.layers {
		errs = append(errs, l.close())
	}
	if c.lock != nil {
		errs = append(errs, c.lock.Close())
	}
	return errors.Join(errs...)
}

// keep makes room for what was kept beyond the budget. It goes over all frames
// in turn, and evicts those that were not read since it last came by.
func (c *Cache) keep(n int64) error {
	if c.held.Add(n) <= c.budget {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	goal := c.budget - c.budget/8
	for turns := 2 * len(c.layers); turns >= 0 && c.held.Load() > goal; turns-- {
		l := c.layers[c.hand%len(c.layers)]
		freed, ended, err := l.evict(c.held.Load() - goal)
		if err != nil {
			return fmt.Errorf("evict content of layer %s: %w", l.digest, err)
		}
		c.held.Add(-freed)
		if ended {
			c.hand++
		}
	}
	return nil
}
