package metadata

import (
	"strings"
	"sync"
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
// at some moment that nobody is told of. It is for what one memory depends on.
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

// concern is a set of memories.
type concern uint8

const (
	concernsManifests concern = 1 << iota
	concernsBlobs

	concernsNone concern = 0
	concernsAll          = concernsManifests | concernsBlobs
)

// concerns says which memories a table concerns; all, if it is not listed. What
// a foreign key removes by itself is of tables that concern no more.
var concerns = map[string]concern{
	"blob_needs":       concernsBlobs,
	"blobs":            concernsBlobs,
	"leases":           concernsBlobs,
	"repository_blobs": concernsBlobs,
	"manifests":        concernsManifests,
	"tags":             concernsManifests,

	"duties":        concernsNone,
	"events":        concernsNone,
	"gc_queue":      concernsNone,
	"graves":        concernsNone,
	"manifest_refs": concernsNone,
	"suspects":      concernsNone,
	"tag_events":    concernsNone,
	"trash":         concernsNone,
	"uploads":       concernsNone,
}

// memories are what is remembered, and what that depends on.
type memories struct {
	manifestWrites, blobWrites writes
	known                      sync.Map // query → concern
}

// concern returns which memories a statement concerns that is a constant.
func (m *memories) concern(query string) concern {
	if c, ok := m.known.Load(query); ok {
		return c.(concern)
	}
	c := concernOf(query)
	m.known.Store(query, c)
	return c
}

// concernOf reads a statement as far as the table that it writes to.
func concernOf(query string) concern {
	words := strings.Fields(query)
	table := ""
	switch {
	case len(words) > 0 && words[0] == "SELECT":
		return concernsNone
	case len(words) > 1 && words[0] == "UPDATE":
		table = words[1]
	case len(words) > 2 && (words[0] == "INSERT" || words[0] == "DELETE"):
		table = words[2]
	}
	if c, ok := concerns[table]; ok {
		return c
	}
	return concernsAll
}

// commit runs the commit of a transaction that has written what concerns some.
// Whoever is answered after it has returned does not find anything older.
func (m *memories) commit(c concern, f func() error) error {
	for bit, w := range map[concern]*writes{concernsManifests: &m.manifestWrites, concernsBlobs: &m.blobWrites} {
		if c&bit != 0 {
			w.count.Add(oneCommitting)
			defer w.count.Add(oneCommitted - oneCommitting)
		}
	}
	return f()
}
