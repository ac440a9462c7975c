package metadata

import (
	"sync/atomic"

	"github.com/cloudlets/cloudlets/blobstore/cache"
)

const (
	// manifestMemory and blobMemory bound what is remembered, in bytes.
	manifestMemory = 16 << 20
	blobMemory     = 8 << 20
	// answerCost is what an answer takes besides the bytes it names.
	answerCost = 512
)

// memory remembers answers of a database that only this process writes to, for
// as long as nothing was written since they were read. It is never asked whether
// something exists without that being sure: the database stays the authority.
//
// A nil memory remembers nothing. That is what a database has that other nodes
// write to.
type memory[V any] struct {
	writes  *writes
	answers *cache.Cache[question, answer[V]]
	cost    func(V) int64 // in bytes
}

// question is a query that is a constant, with its parameters.
type question struct{ query, repository, reference string }

// answer is what was read at a time when nothing was being written.
type answer[V any] struct {
	asOf  uint64 // of writes
	value V
}

func newMemory[V any](w *writes, budget int64, cost func(V) int64) *memory[V] {
	return &memory[V]{writes: w, answers: cache.New[question, answer[V]](budget), cost: cost}
}

// ask returns the answer to a question: the remembered one, or what read
// returns. Errors are not remembered.
func (m *memory[V]) ask(q question, read func() (V, error)) (V, error) {
	if m == nil {
		return read()
	}
	asOf, quiet := m.writes.now()
	if !quiet {
		return read()
	}
	// Nothing was written between the reading and now: that is when this read
	// takes place.
	if a, ok := m.answers.Get(q); ok && a.asOf == asOf {
		return a.value, nil
	}
	value, err := read()
	if err == nil {
		cost := answerCost + int64(len(q.repository)+len(q.reference)) + m.cost(value)
		m.answers.Add(q, answer[V]{asOf, value}, cost)
	}
	return value, err
}

// writes counts the transactions that were committed (the upper bits) and those
// whose commit is under way (the lower ones): what these write becomes visible
// at some moment that nobody is told of.
type writes struct{ count atomic.Uint64 }

const (
	oneCommitting = 1
	oneCommitted  = 1 << 16
	committing    = oneCommitted - oneCommitting // mask; there are never so many at once
)

// now returns a number that every commit changes, and whether none is under way.
func (w *writes) now() (asOf uint64, quiet bool) {
	asOf = w.count.Load()
	return asOf, asOf&committing == 0
}

// commit runs the commit of a transaction. Whoever is answered after it has
// returned does not find anything older.
func (w *writes) commit(f func() error) error {
	w.count.Add(oneCommitting)
	defer w.count.Add(oneCommitted - oneCommitting)
	return f()
}
