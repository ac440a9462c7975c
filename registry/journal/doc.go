// Package journal keeps what SQL alone says beside the blobs as well, and
// rebuilds a lost database from it.
//
// What enters: the changes that a metadata.Store notes in the transactions that
// make them. What leaves: journals, objects of a kind of their own in the blob
// store; and, on the day the database is lost, a database that says of
// repositories, manifests, tags, holds and renders what the lost one said, but
// for the last seconds and the history of tags.
//
// A [Keeper] writes a journal every two seconds in which anything was changed.
// It holds the state of what was changed, not the change: reading journals in the
// order of their numbers gives the last state of everything. From time to time a
// complete journal holds everything, and those before it go. So journals take
// space in proportion to what exists, and [Rebuild] reads little.
//
// The database stays the one authority. A journal is never read while a registry
// serves, and no request waits for one.
//
//	push ── transaction: rows, and a row of changes ── 201
//	                                │ two seconds
//	                journal begun: number, states (one transaction)
//	                                │
//	                      object written and sealed
//	                                │
//	               journal saved: changes removed (one transaction)
//
// A crash between any two steps leaves changes that the next journal takes, and
// at most an object that is an orphan: see package gc. Numbers are given and
// states read in one transaction, and who was overtaken cannot save, so a node
// that wakes up late with an old journal does no harm, and neither do two at once.
// Each journal names the one before it: what a database wrote that was then
// replaced by an older copy of it is passed over.
//
// # Format
//
// A journal is JSON, one value a line, compressed with Zstandard (RFC 8878). The
// first line is the header: {"format":"cloudlets journal","version":1,
// "number":1700000000000000,"complete":true,"previous":…,"base":…}, as in
// metadata.Journal. Each other line is a metadata.Entry. Times are microseconds
// since 1970, bytes are in base64. No secrets are in it.
package journal
