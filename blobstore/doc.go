// Package blobstore keeps blobs: bytes named by their digest.
//
// What enters: streams of bytes, extent maps, and claims that a blob holds
// frames. What leaves: [extent.Blob]s, readable at any offset, by digest.
//
// Behind a digest stands one of three representations, and no caller can tell
// which (see [Kind]): the bytes themselves, an extent map over other blobs, or
// the uncompressed view of a blob made of frames. Deduplication, virtual
// conversion, snapshots and delta transfer are all the second one.
//
// A [Store] is two parts. A [Driver] keeps objects — byte strings under unique
// keys, written once, never renamed across stores, copied or changed — in a
// directory (blobstore/file) or elsewhere. An [Index] says which object stands
// for which digest; the registry's metadata is one. Writing makes an object
// durable and returns a [Record]; the caller then commits the record to the
// index, in one transaction with whatever else has to be true. A crash between
// the two leaves an object that nothing refers to, never a digest without bytes.
//
// Bytes are verified in one place, [Writer], on their way in: no object is
// sealed under a digest that its content does not have.
package blobstore
