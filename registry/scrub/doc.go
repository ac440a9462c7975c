// Package scrub finds blobs whose bytes are not what they were, keeps them from
// being served, and repairs them.
//
// What enters: a metadata.Store, which knows when each blob was verified last and
// which are in quarantine, a blobstore.Store, which verifies, and [Source]s to
// fetch blobs from. What leaves: blobs in quarantine, and out of it.
//
//	verified longest ago ─┐                        ┌─ the object again, another object
//	a read that failed ───┼─ verify ── quarantine ─┤  of the digest, its frames, a source
//	fsck --verify ────────┘     │                  └─ or a push of the digest
//	                            └─ sound: verified now
//
// Every object is read once in a round, past all caches, at a bounded rate. A blob
// that is read from others is sound if its own object is, by its checksum, and if
// those others are: see blobstore.Store.Verify. So shared bytes are read once,
// however many blobs share them.
//
// A blob is damaged if its object is missing, has another length or another
// digest, or cannot be read from its disk, several times in a row. Anything else
// that goes wrong — a store that does not answer, a database that is restarted —
// says nothing about the blob, which is tried again later, each time after longer.
//
// Any number of scrubbers on any number of nodes share the work: a blob is claimed
// in the database. A crash between any two steps leaves a claim that runs out, or
// an object that nothing refers to, which the collector finds.
package scrub
