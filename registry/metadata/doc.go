// Package metadata is what a registry knows besides bytes: repositories,
// manifests and what they refer to, tags and their history, which blob stands
// in which repository, uploads under way, renders, and objects to be removed.
//
// What enters: facts that are already durable — a blob's record comes after its
// object. What leaves: answers, each from one consistent state. Every method is
// one transaction, none waits for storage or the network, and nothing caches
// what exists beside the database: it is the authority.
//
// A [Store] speaks SQL that SQLite and PostgreSQL share; what differs between
// them is one value, the dialect. Foreign keys guard the bytes: a manifest's
// reference holds its blob in the repository, which holds the blob, which holds
// the blobs it is read from, all with RESTRICT. No mistake in a collector can
// remove what an acknowledged manifest needs.
//
// Times are the store's own clock's, kept as microseconds since 1970 in UTC.
package metadata
