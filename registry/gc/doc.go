// Package gc removes what nobody needs, while everybody goes on working.
//
// What enters: the review queue of a metadata.Store, which every transaction
// feeds that lets go of something, a [Policy], and the objects of a driver. What
// leaves: nothing but the space.
//
// There is no mark phase, no read-only mode and no global lock. A review looks
// at one entry of the queue and asks the rows whether anything holds it; what is
// free goes in the same transaction, and foreign keys refuse a mistake. A blob's
// object goes to the trash for a day before a sweep removes it by its key, which
// no other blob will ever have: a push of the same digest meanwhile writes an
// object of its own. No storage is touched within a transaction, so a crash
// between any two steps repeats a step and no more.
//
//	tag moved or deleted ─┐
//	index deleted ────────┼─ review ── manifest removed ─┐
//	subject deleted ──────┘                              ├─ review ── blob out of its
//	lease or upload expired ─────────────────────────────┘            repository
//	                                                                      │
//	object removed ── sweep ── trash (a day, [Undelete]) ── record removed ┘
//
// An untagged image is not garbage: images are pinned by digest. Only a policy
// that says so removes one, and never one that is on hold.
//
// Objects that a killed process left are found by listing the store: one that
// nothing refers to, now and twice the life of an upload ago, is an orphan.
package gc
