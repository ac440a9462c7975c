// Package cache is a least-recently-used cache bounded by the cost of what it
// holds. What enters: values with a key and a cost in bytes. What leaves: the
// same values, until they are pushed out by newer ones.
package cache

import (
	"container/list"
	"sync"
)

// Cache is safe for concurrent use. Make one with [New].
type Cache[K comparable, V any] struct {
	mu     sync.Mutex
	budget int64
	cost   int64
	recent *list.List // of *entry[K, V], most recent first
	byKey  map[K]*list.Element
}

type entry[K comparable, V any] struct {
	key   K
	value V
	cost  int64
}

// New returns a cache that holds values whose costs add up to at most budget.
func New[K comparable, V any](budget int64) *Cache[K, V] {
	return &Cache[K, V]{budget: budget, recent: list.New(), byKey: make(map[K]*list.Element)}
}

// Get returns the value of a key and marks it as used.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	if !ok {
		return value, false
	}
	c.recent.MoveToFront(e)
	return e.Value.(*entry[K, V]).value, true
}

// Add puts a value in the cache, replacing an older one of the same key. A
// value that costs more than the whole budget is not kept.
func (c *Cache[K, V]) Add(key K, value V, cost int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byKey[key]; ok {
		c.remove(e)
	}
	if cost > c.budget {
		return
	}
	for c.cost+cost > c.budget {
		c.remove(c.recent.Back())
	}
	c.byKey[key] = c.recent.PushFront(&entry[K, V]{key, value, cost})
	c.cost += cost
}

// Remove forgets a value.
func (c *Cache[K, V]) Remove(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byKey[key]; ok {
		c.remove(e)
	}
}

func (c *Cache[K, V]) remove(e *list.Element) {
	old := c.recent.Remove(e).(*entry[K, V])
	delete(c.byKey, old.key)
	c.cost -= old.cost
}
