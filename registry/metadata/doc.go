// Package metadata is what a registry knows besides bytes: repositories,
// manifests and what they refer to, tags and their history, which blob stands
// in which repository, uploads under way, renders, and objects to be removed.
//
// What enters: facts that are already durable — a blob's record comes after its
// object. What leaves: answers, each from one consistent state. Every method is
// one transaction, none waits for storage or the network, and nothing caches
// what exists beside the database: it is the authority. Where no other process
// writes to it, answers are remembered until the next commit, here and nowhere
// else.
//
// A [Store] speaks SQL that SQLite and PostgreSQL share; what differs between
// them is one value, the dialect. Foreign keys guard the bytes: a manifest's
// reference holds its blob in the repository, which holds the blob, which holds
// the blobs it is read from, all with RESTRICT. No mistake in a collector can
// remove what an acknowledged manifest needs.
//
// Whatever lets go of something — a tag that moves, a manifest that is deleted, a
// lease that expires — enqueues it for review in the same transaction. A review
// decides by rows alone, and what it removes is one transaction too: see
// [Store.Review]. Objects are removed elsewhere, after a delay, by key.
//
// Times are the store's own clock's — the server's, where there is one — kept as
// microseconds since 1970 in UTC.
package metadata
