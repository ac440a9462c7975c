package journal

import (
	"cmp"
	"slices"

	"github.com/cloudlets/cloudlets/registry/metadata"
)

// thing is what an entry is about.
type thing struct {
	kind                  metadata.EntryKind
	repository, reference string
}

// state is the last entry of everything.
type state map[thing]metadata.Entry

// apply takes in an entry that is newer than all before it.
func (s state) apply(e metadata.Entry) {
	key := thing{e.Kind, e.Repository, e.Reference}
	if e.Gone {
		delete(s, key)
		return
	}
	s[key] = e
}

// has says whether there is a thing.
func (s state) has(kind metadata.EntryKind, repository, reference string) bool {
	_, ok := s[thing{kind, repository, reference}]
	return ok
}

// drop removes a thing that cannot be rebuilt.
func (s state) drop(e metadata.Entry) { delete(s, thing{e.Kind, e.Repository, e.Reference}) }

// of returns the entries of a kind, the oldest first.
func (s state) of(kind metadata.EntryKind) []metadata.Entry {
	var entries []metadata.Entry
	for key, e := range s {
		if key.kind == kind {
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, func(a, b metadata.Entry) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Repository, b.Repository), cmp.Compare(a.Reference, b.Reference))
	})
	return entries
}
